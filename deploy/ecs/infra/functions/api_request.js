// Remove headers that control Ray Serve, because clients must not send them. The service removes these
// headers, too.
function handler(event) {
    var headers = event.request.headers;
    var steering = [
        'x-request-timeout-seconds', 'x-request-disconnect-disabled',
        'serve_multiplexed_model_id', 'serve-multiplexed-model-id', 'x-session-id',
        'x-pixlake-origin'
    ];
    for (var i = 0; i < steering.length; i++) {
        delete headers[steering[i]];
    }
    return event.request;
}
