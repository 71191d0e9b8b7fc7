"""The documentation page: Swagger UI from an installed package, nothing fetched from outside."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from app.errors import missing

# Styles are inline in Swagger UI's own markup; scripts are not, so that none is allowed inline.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kömek API</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = """
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  showExtensions: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""

_ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})
_DAY = {"Cache-Control": "public, max-age=86400"}


def _folder() -> Path:
    """Where the package keeps Swagger UI. Found and not imported: it would patch the framework."""
    spec = importlib.util.find_spec("fastapi_swagger")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("fastapi-swagger, which carries the documentation page, is missing")
    return Path(next(iter(spec.submodule_search_locations))) / "resources"


def mount(app: FastAPI) -> None:
    """Serve the page at `/docs`, with its assets, and lead there from `/`."""
    folder = _folder()

    async def show_page() -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    async def show_start() -> Response:
        return Response(_START, media_type="text/javascript", headers=_DAY)

    async def show_asset(name: str) -> Response:
        if name not in _ASSETS:
            raise missing("asset")
        return FileResponse(folder / name, headers=_DAY)

    async def show_root() -> Response:
        return RedirectResponse("/docs")

    app.add_api_route("/docs", show_page, include_in_schema=False)
    app.add_api_route("/docs/start.js", show_start, include_in_schema=False)
    app.add_api_route("/docs/assets/{name}", show_asset, include_in_schema=False)
    app.add_api_route("/", show_root, include_in_schema=False)
