// Allow only renditions: the prefix images/ also contains originals and records.
var RENDITION = /^\/images\/[a-z0-9-]+\/[0-9a-f]{2}\/[0-9a-f]{32}\/([a-z0-9][a-z0-9_-]*)-[0-9a-f]+\.[a-z0-9]+$/;

function handler(event) {
    var found = RENDITION.exec(event.request.uri);
    if (!found || found[1] === 'original') {
        return {
            statusCode: 404,
            statusDescription: 'Not Found',
            headers: { 'cache-control': { value: 'no-store' } }
        };
    }
    return event.request;
}
