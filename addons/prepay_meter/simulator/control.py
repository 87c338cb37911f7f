"""HTTP control of a running simulation: JSON for tests, a page for people."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from . import page
from .settings import change, state

if TYPE_CHECKING:
    from .simulation import Simulation

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _say_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bad input is answered with its reason as JSON."""
    try:
        return await handler(request)
    except LookupError as error:
        return web.json_response({"error": str(error.args[0])}, status=404)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)


async def _body(request: web.Request) -> dict:
    # Asking for the JSON type keeps foreign web pages from posting forms here.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json")
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ValueError("send a JSON object")
    return body


def make_app(simulation: "Simulation") -> web.Application:
    """The control interface of one simulation.

    GET /                    page with a card per meter
    GET /meters              all meters; GET /meters/{address} one of them
    PATCH /meters/{address}  settings and faults by name (`settings.SETTINGS`, `faults.Faults`)
    POST /meters             a new meter: its description with "gateway"
    GET /gateways            all gateways; GET /gateways/{name} one of them
    POST /gateways/{name}    {"online": bool}, {"power": bool}, options of its kind, "script";
                             a name such as 4G-* changes all that match

    {address} is the address or number of the meter, or gateway:address where that is not unique.
    """
    routes = web.RouteTableDef()

    @routes.get("/")
    async def show(request: web.Request) -> web.Response:
        meters = [state(meter) for meter in simulation.meters]
        gateways = [gateway.state() for gateway in simulation.gateways.values()]
        text = page.render(meters, gateways, request.headers.get("Accept-Language", ""))
        return web.Response(text=text, content_type="text/html")

    @routes.get("/meters")
    async def list_meters(request: web.Request) -> web.Response:
        return web.json_response([state(meter) for meter in simulation.meters])

    @routes.get("/meters/{address}")
    async def get_meter(request: web.Request) -> web.Response:
        return web.json_response(state(simulation.find(request.match_info["address"])))

    @routes.patch("/meters/{address}")
    async def change_meter(request: web.Request) -> web.Response:
        meter = simulation.find(request.match_info["address"])
        change(meter, await _body(request))
        return web.json_response(state(meter))

    @routes.post("/meters")
    async def add_meter(request: web.Request) -> web.Response:
        return web.json_response(state(simulation.add_meter(await _body(request))), status=201)

    @routes.get("/gateways")
    async def list_gateways(request: web.Request) -> web.Response:
        return web.json_response([each.state() for each in simulation.gateways.values()])

    @routes.get("/gateways/{name}")
    async def get_gateway(request: web.Request) -> web.Response:
        return web.json_response(simulation.gateway(request.match_info["name"]).state())

    @routes.post("/gateways/{name}")
    async def change_gateways(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        gateways = simulation.find_gateways(name)
        body = await _body(request)
        for gateway in gateways:
            await gateway.apply(body)
        states = [gateway.state() for gateway in gateways]
        return web.json_response(states[0] if name in simulation.gateways else states)

    app = web.Application(middlewares=[_say_errors])
    app.add_routes(routes)
    return app
