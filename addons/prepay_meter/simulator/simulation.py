"""Gateways, meters and the control port as one running thing."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from . import fleet
from .acrel4g import Acrel4gGateway
from .checks import flag
from .dial import DtuGateway
from .gateway import Gateway, ListeningGateway, ModbusTcpGateway, script
from .meter import Meter
from .mqtt import MqttGateway
from .settings import new_meter

_KINDS: tuple[type[Gateway], ...] = (
    ListeningGateway,
    ModbusTcpGateway,
    DtuGateway,
    Acrel4gGateway,
    MqttGateway,
)
KINDS = {kind.kind: kind for kind in _KINDS}
SAVE_EVERY_S = 1.0
T = TypeVar("T")


class Simulation:
    """Simulated gateways and meters from a configuration.

    `config`: {"gateways": [{"name", "kind", "meters": [...], options of the kind}]}, with the
    shorthand of `fleet`; a port of 0 is chosen by the system.
    `control_port`: port of the HTTP control, None for no control.
    `state_path`: a file that keeps registers and relays over restarts, as a real meter does.

    :raises ValueError: what is wrong with the configuration
    """

    def __init__(
        self,
        config: dict,
        control_port: int | None = 0,
        control_host: str = "127.0.0.1",
        state_path: str | os.PathLike | None = None,
    ) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.control_host = control_host
        self.control_port = control_port
        self._state_path = Path(state_path) if state_path else None
        self._runner: web.AppRunner | None = None
        self._saver: asyncio.Task | None = None
        self._scripts: dict[str, list] = {}
        self._offline: set[str] = set()
        for spec in fleet.gateways(_list(config, "gateways", "configuration")):
            self._add_gateway(spec)
        self._restore()

    def _add_gateway(self, spec: dict) -> None:
        if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
            raise ValueError(f"gateway {spec!r} has no name")
        options = dict(spec)
        name, kind = options.pop("name"), options.pop("kind", "tcp_serial")
        meters = _list(options, "meters", f"gateway {name}")
        options.pop("meters", None)
        if name in self.gateways:
            raise ValueError(f"two gateways are named {name}")
        if kind not in KINDS:
            raise ValueError(f"gateway {name}: kind {kind!r} is none of {', '.join(KINDS)}")
        try:
            online = flag("online", options.pop("online", True))
            steps = script(options.pop("script", []))
            gateway = KINDS[kind](name, options)
            for meter in meters:
                gateway.add(new_meter(meter, name))
        except ValueError as error:
            raise ValueError(f"gateway {name}: {error}") from error
        self.gateways[name] = gateway
        self._scripts[name] = steps
        if not online:
            self._offline.add(name)

    # ---- meters

    @property
    def meters(self) -> list[Meter]:
        return [meter for gateway in self.gateways.values() for meter in gateway.meters.values()]

    def find(self, address: str) -> Meter:
        """Meter by address or number, or by gateway:address when several have that address.

        :raises LookupError: none, or more than one
        """
        found = [
            meter
            for meter in self.meters
            if address and address in (meter.address, meter.number, meter.key)
        ]
        if not found:
            raise LookupError(f"no meter {address}")
        if len(found) > 1:
            keys = ", ".join(meter.key for meter in found)
            raise LookupError(f"several meters {address}: {keys}")
        return found[0]

    def add_meter(self, spec: dict) -> Meter:
        """Connect a new meter; the description names its gateway.

        :raises ValueError: what is wrong with the description
        :raises LookupError: no such gateway
        """
        spec = dict(spec)
        gateway = self.gateway(str(spec.pop("gateway", "")))
        meter = new_meter(spec, gateway.name)
        gateway.add(meter)
        return meter

    def find_gateways(self, pattern: str) -> list[Gateway]:
        """Gateways by name, or all whose names match a pattern with * or ?.

        :raises LookupError: none
        """
        if not set("*?") & set(pattern):
            return [self.gateway(pattern)]
        found = [each for name, each in self.gateways.items() if fnmatchcase(name, pattern)]
        if not found:
            raise LookupError(f"no gateway {pattern!r}")
        return found

    def gateway(self, name: str) -> Gateway:
        if name not in self.gateways:
            raise LookupError(f"no gateway {name!r}")
        return self.gateways[name]

    # ---- life

    async def start(self) -> None:
        """Open all ports; nothing is left open when one of them is taken."""
        from .control import make_app

        try:
            for name, gateway in self.gateways.items():
                if name not in self._offline:
                    await gateway.start()
                gateway.run_script(self._scripts[name])
            if self.control_port is not None:
                self._runner = web.AppRunner(make_app(self), access_log=None)
                await self._runner.setup()
                await web.TCPSite(self._runner, self.control_host, self.control_port).start()
                self.control_port = self._runner.addresses[0][1]
        except BaseException:
            await self.stop()
            raise
        if self._state_path:
            self._saver = asyncio.create_task(self._save_for_ever())

    async def stop(self) -> None:
        """Close all ports and keep the state."""
        saving, self._saver = self._saver, None
        if saving:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            self._save(clean=True)
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        for gateway in self.gateways.values():
            gateway.run_script([])
            await gateway.stop()

    @property
    def control_url(self) -> str:
        return f"http://{self.control_host}:{self.control_port}"

    def ready(self) -> dict:
        """Where everything listens."""
        return {
            "control": self.control_url if self.control_port is not None else None,
            "gateways": {
                name: {key: found[key] for key in ("kind", "host", "port")}
                for name, found in ((each.name, each.state()) for each in self.gateways.values())
            },
        }

    # ---- state over restarts

    async def _save_for_ever(self) -> None:
        while True:
            self._save(clean=False)
            await asyncio.sleep(SAVE_EVERY_S)

    def _save(self, clean: bool) -> None:
        state = {"clean": clean, "meters": {meter.key: meter.dump() for meter in self.meters}}
        new = self._state_path.with_name(self._state_path.name + ".new")
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(self._state_path)

    def _restore(self) -> None:
        if not self._state_path or not self._state_path.exists():
            return
        try:
            state = json.loads(self._state_path.read_text(encoding="utf-8"))
            known = {meter.key: meter for meter in self.meters}
            for key, kept in state["meters"].items():
                if key in known:
                    known[key].restore(kept)
                    if not state["clean"]:
                        # What was used after the last save must not make the register go back.
                        known[key].run_ahead(3 * SAVE_EVERY_S)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"state file {self._state_path} is unusable: {error}") from error


def _list(spec: Any, name: str, of: str) -> list:
    found = spec.get(name, []) if isinstance(spec, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{of}: {name} is not a list")
    return found


def load_config(path: str | os.PathLike) -> dict:
    """Configuration from a JSON file.

    :raises ValueError: unreadable, or no JSON
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"configuration {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"configuration {path} is no JSON: {error}") from error


class ThreadedSimulation:
    """A simulation on an event loop of its own thread, for tests that are not asyncio."""

    def __init__(self, simulation: Simulation, loop: asyncio.AbstractEventLoop) -> None:
        self.simulation = simulation
        self._loop = loop

    @property
    def url(self) -> str:
        return self.simulation.control_url

    def port(self, gateway: str) -> int:
        return self.simulation.gateways[gateway].port

    def call(self, work: Callable[[Simulation], T]) -> T:
        """Result of `work(simulation)`, run on the loop of the simulation."""

        async def run() -> T:
            return work(self.simulation)

        return self.wait(run())

    def wait(self, work: Awaitable[T]) -> T:
        """Result of a coroutine, run on the loop of the simulation."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@contextlib.contextmanager
def in_thread(config: dict, **options: Any) -> Iterator[ThreadedSimulation]:
    """Run a simulation beside the caller for the length of a with block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="prepay-simulator", daemon=True)
    thread.start()

    async def make() -> Simulation:
        simulation = Simulation(config, **options)
        await simulation.start()
        return simulation

    try:
        simulation = asyncio.run_coroutine_threadsafe(make(), loop).result(30)
        running = ThreadedSimulation(simulation, loop)
        try:
            yield running
        finally:
            running.wait(simulation.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
