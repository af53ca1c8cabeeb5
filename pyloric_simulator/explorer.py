"""x"""
from __future__ import annotations

import socket
from typing import Any
from .engine import checks

LOOPBACK = "127.0.0.1"
PORT = 5006


def page(own: Any = None, query: str = "", doc: Any = None) -> Any:
    from .exploring.app import Explorer, closed_with_page

    explorer = Explorer(own, query, doc)
    if doc is not None:
        closed_with_page(explorer, doc)
    return explorer.page


def session(own: Any = None) -> Any:
    import panel as pn

    query = pn.state.location.search or ""
    if "theme=dark" in query:
        pn.config.theme = "dark"
    return page(own, query, pn.state.curdoc)


def serve(model: Any = None, *, port: int = PORT, address: str = LOOPBACK, show: bool = True) -> Any:
    import panel as pn

    pn.extension()
    origins = [f"{host}:{port}" for host in dict.fromkeys((address, LOOPBACK, "localhost"))]
    return pn.serve(lambda: session(model), port=port, address=address, websocket_origin=origins, show=show, title="Pyloric explorer")
