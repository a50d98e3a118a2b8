// Headers that steer Ray Serve never come from outside; the service strips them, too.
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
