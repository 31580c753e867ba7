"""`groklab dashboard`: runs in a browser."""

from __future__ import annotations

from groklab.arguments.parsing import parse
from groklab.arguments.reading import DashboardArguments
from groklab.commands.plugins import load_plugins
from groklab.outside.streams import say
from groklab.results.files import StoreError


def dashboard(words: list[str]) -> int:
    """Serve the pages over a folder of results; StoreError where their libraries are not installed."""
    load_plugins(words)
    asked = parse(DashboardArguments, "dashboard", words)
    try:
        from groklab.dashboard.server import serve
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("dash", "plotly", "flask", "werkzeug"):
            raise
        raise StoreError("the dashboard needs dash and plotly, which are not installed: pip install 'groklab[dashboard]'") from None
    return serve(
        asked.root(), say, host=asked.host, port=asked.port, with_token=asked.token, with_browser=asked.browser, plugins=asked.plugin
    )
