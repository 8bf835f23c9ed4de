"""Both providers' Batch APIs, in memory, beside a chat server that answers."""

import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from aiohttp import web

_KINDS = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error"}


@dataclass
class Held:
    """One batch at the provider."""

    id: str
    api: str
    requests: list  # (custom_id, body)
    metadata: dict | None = None
    source: str = ""
    end: str = "completed"
    created_at: float = field(default_factory=time.time)
    num_looks: int = 0
    is_ended: bool = False
    lines: dict = field(default_factory=dict)  # file id to lines

    @property
    def is_worked_on(self):
        return self.end not in ("quota", "invalid")


class BatchServer:
    """Adds its routes to a chat server; faults are used up one a batch or request.

    Attributes:
      batches: By id, the oldest first.
      looks: Retrievals before a batch ends; None: it never does.
      ends: How the next batches end: completed, expired, quota, invalid, empty.
      create_faults: Of creations: 500-after (it was created), or a status.
      result_faults: Of results: truncated, short, nothing, twice, unknown,
        garbage.
      statuses: Of the lines of all batches, one each; 200 if there is none.
      capacity: Requests that may wait for a model at a time; no limit if None.
      deleted: Files and batches.
    """

    def __init__(self, chat, openai_body, anthropic_body):
        self.chat = chat
        self.bodies = {"openai": openai_body, "anthropic": anthropic_body}
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Held] = {}
        self.looks = 1
        self.ends: deque[str] = deque()
        self.create_faults: deque[str] = deque()
        self.result_faults: deque[str] = deque()
        self.statuses: deque[int] = deque()
        self.capacity: int | None = None
        self.deleted: list[str] = []
        self.documents: list[dict] = []  # of creations
        self.num_reads = 0
        chat.batches = self

    def add_routes(self, app):
        router = app.router
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._file)
        router.add_delete("/v1/files/{id}", self._delete)
        for api, path in (
            ("openai", "/v1/batches"),
            ("anthropic", "/v1/messages/batches"),
        ):
            router.add_post(path, self._create)
            router.add_get(path, self._list)
            router.add_get(path + "/{id}", self._retrieve)
            if api == "anthropic":
                router.add_get(path + "/{id}/results", self._results)
                router.add_delete(path + "/{id}", self._delete)

    @property
    def asked(self):
        """How often each custom_id was in a batch that was worked on."""
        return Counter(
            custom_id
            for batch in self.batches.values()
            if batch.is_worked_on
            for custom_id, _ in batch.requests
        )

    def add(self, api, requests, **fields):
        """A batch, made by whomever."""
        name = f"{'batch' if api == 'openai' else 'msgbatch'}_{len(self.batches)}"
        held = Held(name, api, requests, **fields)
        self.batches[name] = held
        return held

    def _document(self, held):
        return (_openai if held.api == "openai" else _anthropic)(held)

    # --- files

    async def _upload(self, request):
        form = await request.post()
        assert form["purpose"] == "batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()
        return web.json_response({"id": name, "object": "file"})

    async def _file(self, request):
        return await self._sent(request, self.files[request.match_info["id"]])

    async def _delete(self, request):
        self.deleted.append(request.match_info["id"])
        return web.json_response({"id": request.match_info["id"], "deleted": True})

    # --- batches

    async def _create(self, request):
        fault = self.create_faults.popleft() if self.create_faults else ""
        if fault and fault != "500-after":
            return _failed(int(fault), request.headers["Authorization"])
        document = json.loads(await request.read())
        self.documents.append(document)
        if "input_file_id" in document:
            lines = self.files[document["input_file_id"]].splitlines()
            rows = [json.loads(line) for line in lines]
            assert {row["url"] for row in rows} == {document["endpoint"]}
            held = self.add(
                "openai",
                [(row["custom_id"], row["body"]) for row in rows],
                metadata=document.get("metadata"),
                source=document["input_file_id"],
            )
        else:
            rows = document["requests"]
            held = self.add(
                "anthropic", [(row["custom_id"], row["params"]) for row in rows]
            )
        ids = [custom_id for custom_id, _ in held.requests]
        assert len(set(ids)) == len(ids) > 0
        assert all(len(custom_id) <= 64 for custom_id in ids)
        held.end = self.ends.popleft() if self.ends else "completed"
        waiting = [one for one in self.batches.values() if not one.is_ended]
        if self.capacity and sum(len(one.requests) for one in waiting) > self.capacity:
            held.end = "quota"
        return _failed(500) if fault else web.json_response(self._document(held))

    async def _retrieve(self, request):
        held = self.batches.get(request.match_info["id"])
        if held is None:
            return _failed(404)
        held.num_looks += 1
        if self.looks is not None and held.num_looks > self.looks:
            self._end(held)
        return web.json_response(self._document(held))

    async def _list(self, request):
        api = "anthropic" if "messages" in request.path else "openai"
        after = request.query.get("after") or request.query.get("after_id")
        newest = [one for one in reversed(self.batches.values()) if one.api == api]
        if after:
            newest = newest[[one.id for one in newest].index(after) + 1 :]
        limit = min(2, int(request.query["limit"]))  # several pages, always
        if self.looks is not None:
            for held in newest[:limit]:
                self._end(held)
        return web.json_response(
            {
                "data": [self._document(one) for one in newest[:limit]],
                "has_more": len(newest) > limit,
            }
        )

    async def _results(self, request):
        held = self.batches[request.match_info["id"]]
        return await self._sent(request, held.lines["results"])

    def _end(self, held):
        """Works on a batch; results come in reverse."""
        if held.is_ended:
            return
        held.is_ended = True
        number = len(held.requests)
        if held.end == "expired":
            number //= 2
        if not held.is_worked_on or held.end == "empty":
            number = 0
        lines = {"output": [], "error": []}
        for place, (custom_id, body) in enumerate(held.requests):
            if place >= number:
                if held.is_worked_on and held.end != "empty":
                    lines["error"].append(_expired(held.api, custom_id))
                continue
            status = self.statuses.popleft() if self.statuses else 200
            answer = self.bodies[held.api](
                self.chat.answer(body["messages"][-1]["content"]), "stop"
            )
            kind = "output" if status == 200 else "error"
            lines[kind].append(_line(held.api, custom_id, status, answer))
        if held.api == "anthropic":
            held.lines["results"] = _joined(lines["output"] + lines["error"])
            return
        for kind, one in lines.items():
            if one:
                held.lines[kind] = f"file-{held.id}-{kind}"
                self.files[held.lines[kind]] = _joined(one)

    async def _sent(self, request, content):
        """A file of results, with a fault."""
        self.num_reads += 1
        fault = self.result_faults.popleft() if self.result_faults else ""
        lines = content.splitlines(keepends=True)
        if fault == "truncated":
            response = web.StreamResponse(headers={"Content-Length": str(len(content))})
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            request.transport.close()
            return response
        if fault == "short":
            lines = lines[: len(lines) // 2]
        if fault == "nothing":
            lines = []
        if fault == "twice":
            lines *= 2
        if fault == "unknown":
            foreign = content.splitlines()[0].replace(
                b'"custom_id": "', b'"custom_id": "x'
            )
            lines = [foreign + b"\n", *lines]
        if fault == "garbage":
            lines = [b"<html>\n", *lines]
        return web.Response(body=b"".join(lines))


def _joined(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in reversed(lines))


def _failed(status, message="no"):  # some servers repeat the key
    error = {"type": _KINDS.get(status, "not_found_error"), "message": message}
    return web.json_response({"type": "error", "error": error}, status=status)


def _line(api, custom_id, status, body):
    error = {"type": _KINDS.get(status, "ok"), "message": "no"}
    if api == "anthropic":
        result = {"type": "succeeded", "message": body}
        if status != 200:
            result = {"type": "errored", "error": {"type": "error", "error": error}}
        return {"custom_id": custom_id, "result": result}
    return {
        "id": "batch_req_1",
        "custom_id": custom_id,
        "response": {
            "status_code": status,
            "request_id": "req",
            "body": body if status == 200 else {"error": error},
        },
        "error": None,
    }


def _expired(api, custom_id):
    if api == "anthropic":
        return {"custom_id": custom_id, "result": {"type": "expired"}}
    error = {"code": "batch_expired", "message": "too late"}
    return {"custom_id": custom_id, "response": None, "error": error}


def _openai(held):
    status = "in_progress"
    if held.is_ended:
        failed = {"quota": "failed", "invalid": "failed", "expired": "expired"}
        status = failed.get(held.end, "completed")
    errors = None
    if status == "failed":
        code = "token_limit_exceeded" if held.end == "quota" else "invalid_model"
        errors = {"object": "list", "data": [{"code": code, "message": "no room"}]}
    total = len(held.requests) if held.is_worked_on else 0
    return {
        "id": held.id,
        "object": "batch",
        "status": status,
        "created_at": int(held.created_at),
        "input_file_id": held.source,
        "metadata": held.metadata,
        "errors": errors,
        "output_file_id": held.lines.get("output"),
        "error_file_id": held.lines.get("error"),
        "request_counts": {"total": total, "completed": total, "failed": 0},
    }


def _anthropic(held):
    number = len(held.requests)
    done = number if held.is_ended else 0
    counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(held.created_at))
    return {
        "id": held.id,
        "type": "message_batch",
        "processing_status": "ended" if held.is_ended else "in_progress",
        "created_at": moment,
        "request_counts": counts | {"processing": number - done, "succeeded": done},
        "results_url": "http://127.0.0.1:1/steal",
    }
