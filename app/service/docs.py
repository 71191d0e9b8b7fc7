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
<title>Kömek: API of the exchange</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="stylesheet" href="/docs/page.css">
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

# Swagger UI is drawn for wide screens; and it leaves the text of an introduction small.
_STYLE = """
body { margin: 0; background: #fafafa; color: #3b4151; }
body.plain {
  max-width: 40rem; margin: 3rem auto; padding: 0 1.25rem;
  font: 1.05rem/1.6 system-ui, sans-serif;
}
.swagger-ui .info { margin: 2rem 0 1rem; }
.swagger-ui .info .title { color: #a4161a; }
.swagger-ui .info .renderedMarkdown { max-width: 48rem; }
.swagger-ui .info .renderedMarkdown p, .swagger-ui .info .renderedMarkdown li {
  font-size: 15px; line-height: 1.55;
}
.swagger-ui .opblock .opblock-section-header .btn { overflow-wrap: normal; }
.swagger-ui .response-col_links { display: none; }
.swagger-ui .opblock-description-wrapper p { font-size: 14px; line-height: 1.5; }
@media (max-width: 640px) {
  .swagger-ui .wrapper { padding: 0 10px; box-sizing: border-box; }
  .swagger-ui .info { overflow-wrap: anywhere; }
  .swagger-ui .info hgroup.main { margin-bottom: 1rem; }
  .swagger-ui .opblock-tag { flex-wrap: wrap; font-size: 20px; }
  .swagger-ui .opblock-tag small { flex-basis: 100%; padding: 0; }
  .swagger-ui .opblock .opblock-summary-description { display: none; }
  .swagger-ui .opblock .opblock-summary-path { max-width: none; font-size: 13px; }
  .swagger-ui .opblock .opblock-summary-method { min-width: 58px; font-size: 11px; }
  .swagger-ui .scheme-container { padding: 15px 0; }
  .swagger-ui .scheme-container .schemes { padding: 0; }
  .swagger-ui .opblock-body, .swagger-ui .responses-wrapper { overflow-x: auto; }
  .swagger-ui .opblock .opblock-section-header { flex-wrap: wrap; padding: 8px 10px; }
  .swagger-ui table, .swagger-ui tbody, .swagger-ui tr, .swagger-ui td {
    max-width: 100%; box-sizing: border-box;
  }
  .swagger-ui .parameters tr, .swagger-ui .responses-table > tbody > tr { display: block; }
  .swagger-ui .parameters td, .swagger-ui .responses-table > tbody > tr > td {
    display: block; width: auto !important; padding-left: 0;
  }
  .swagger-ui .parameters thead, .swagger-ui .responses-table > thead { display: none; }
  .swagger-ui .parameters-col_description input, .swagger-ui .parameters-col_description select,
  .swagger-ui .parameters-col_description textarea { max-width: 100%; }
}
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

    async def show_style() -> Response:
        return Response(_STYLE, media_type="text/css", headers=_DAY)

    async def show_icon() -> Response:
        return FileResponse(folder / "favicon-32x32.png", headers=_DAY)

    async def show_asset(name: str) -> Response:
        if name not in _ASSETS:
            raise missing("asset")
        return FileResponse(folder / name, headers=_DAY)

    async def show_root() -> Response:
        return RedirectResponse("/docs")

    app.add_api_route("/docs", show_page, include_in_schema=False)
    app.add_api_route("/docs/start.js", show_start, include_in_schema=False)
    app.add_api_route("/docs/page.css", show_style, include_in_schema=False)
    app.add_api_route("/favicon.ico", show_icon, include_in_schema=False)
    app.add_api_route("/docs/assets/{name}", show_asset, include_in_schema=False)
    app.add_api_route("/", show_root, include_in_schema=False)
