"""Factory of the FastAPI app, without Ray."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from lake.commit.invalidations import Invalidations
from lake.lake import Lake
from processors.preset import PresetName, find_builtin
from processors.worker import Worker
from serve_app import console, erasures, health, images, limits, presets, problems
from serve_app.accounts.calls import AccountsCalls
from serve_app.administration import keys as keys_api
from serve_app.administration import limits as account_limits
from serve_app.administration import tenants as tenants_api
from serve_app.administration import usage as usage_api
from serve_app.admission.admission import Admission
from serve_app.admission.reads import Reads
from serve_app.admission.spillover import Spillover
from serve_app.app_context import AppContext
from serve_app.asgi.compression import Compression
from serve_app.asgi.cors import CorsHeaders, Preflights
from serve_app.asgi.deprecations import Deprecations
from serve_app.asgi.drain_body import DrainBody
from serve_app.asgi.request_context import RequestContext
from serve_app.auth import KeyRing
from serve_app.batch import route as batch_route
from serve_app.cache.connection import CacheConnection
from serve_app.day_limits import DayLimits
from serve_app.deprecation import deprecation_of
from serve_app.health import ReadinessCheck
from serve_app.query import KnownParameters
from serve_app.rates import Rates
from serve_app.record_cache import RecordCache
from serve_app.replays import Replays
from serve_app.settings import ServeSettings
from serve_app.upload import route as upload_route
from serve_app.usage_counts import UsageCounts

_ABOUT = """Stores images sent by HTTP or Kafka, with renditions, measures and one table row each.

Send your API key as `Authorization: Bearer <key>`. Refusals are
[problem+json](https://www.rfc-editor.org/rfc/rfc9457) with a stable `code`."""


_RESOURCES = {
    "images": "An image is stored once, with its renditions and a record of what is known about "
    "it. It expires with the retention of the lake.",
    "presets": "A preset says what is made of an image: a named, versioned list of renditions. A "
    "tenant uses its own presets, the shared ones and the built-in ones.",
    "keys": "An API key belongs to one tenant and has scopes. Platform teams manage the keys of "
    "all tenants with the scope `admin`.",
    "tenants": "A tenant owns images, presets and keys, and sees no other tenant.",
    "usage": "The usage counts new images, bytes and refusals of each day of UTC.",
    "health": "Health checks are for load balancers and supervisors, and need no key.",
}


def make_app(
    lake: Lake,
    worker: Worker,
    keys: KeyRing,
    settings: ServeSettings,
    readiness: ReadinessCheck,
    *,
    spillover: Spillover | None = None,
    cache: CacheConnection | None = None,
    usage: UsageCounts | None = None,
    invalidations: Invalidations | None = None,
) -> FastAPI:
    """Build the app on an open lake and a running worker; the caller closes both later.

    When the worker's sandbox is full, uploads go to the peers of `spillover`; None: there are none.
    If no node has a free place, an upload is refused before its body is read.
    `cache`: shared by all processes; None: each process counts by itself. The caller runs its
    `watch` and closes it. `usage`: counter whose `watch` the caller runs. `invalidations`: of
    erased images in CloudFront; the caller runs it.

    Raises UnknownPreset for an invalid name of the default preset; the caller checks that the store
    has the preset.
    """
    find_builtin(PresetName.parse(settings.default_preset))
    app = upload_route.Api(
        title="Pixlake",
        version="1",
        description=_ABOUT,
        openapi_tags=[{"name": name, "description": text} for name, text in _RESOURCES.items()],
        docs_url=None,
        redoc_url=None,
        # A redirect would contain the Host header of the client, which may be any host.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    admission = Admission(settings.max_uploads, settings.max_upload_bytes)
    usage = usage or UsageCounts(AccountsCalls(keys.accounts), standby=settings.standby)
    context = AppContext(
        lake=lake,
        worker=worker,
        keys=keys,
        admission=admission,
        spillover=spillover or Spillover(),
        settings=settings,
        reads=Reads(),
        rates=Rates(settings, cache),
        usage=usage,
        day_limits=DayLimits(usage),
        accounts=AccountsCalls(keys.accounts),
        replays=Replays(lake, worker),
        records=RecordCache(lake, cache, settings.record_cache_seconds),
        invalidations=invalidations,
    )
    app.state.context = context
    # The last middleware is the outermost.
    app.add_middleware(Deprecations)
    app.add_middleware(Compression)
    app.add_middleware(KnownParameters, api=app)
    if settings.allowed_origins:
        app.add_middleware(Preflights, origins=settings.allowed_origins)
    app.add_middleware(RequestContext)
    if settings.allowed_origins:
        app.add_middleware(CorsHeaders, origins=settings.allowed_origins)
    app.add_middleware(DrainBody)
    problems.install(app)
    console.install(app)
    _answer_head(app, app.routes)
    for router in (
        images.router,
        erasures.router,
        limits.router,
        presets.router,
        keys_api.router,
        tenants_api.router,
        account_limits.router,
        usage_api.router,
        health.router(readiness),
    ):
        for route in router.routes:
            if isinstance(route, APIRoute) and deprecation_of(route.endpoint):
                route.deprecated = True
        app.include_router(router)
        _answer_head(app, router.routes)
    batch_route.install(app, context)
    upload_route.install(app, context)
    return app


def _operation_id(route: APIRoute) -> str:
    """Return the id of an operation in the OpenAPI description: the name of its function.

    Programs that are generated from the description use it as a name, so it stays the same.
    """
    return route.name


def _answer_head(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Add a HEAD route for each GET route (RFC 9110, 9.1); the server omits the body."""
    for route in list(routes):
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
