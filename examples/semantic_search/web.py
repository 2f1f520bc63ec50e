"""The same as a web page: forms and links, no script, for the person at this machine only."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

from flask import Flask, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from .collection import Collection

RESULTS = 10
LONGEST = 1000
IDEAS = ("baking bread", "feeling ill", "a late train", "how do I save money", "riding a bike", "looking at the stars")


def make_app(collection: Collection) -> Flask:
    """The application; the collection stays the caller's to close."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)  # signs the message that a form leaves for the next page
    app.config.update(MAX_CONTENT_LENGTH=64 * 1024, SESSION_COOKIE_SAMESITE="Strict")

    @app.before_request
    def refuse_strangers() -> None:
        # A page from elsewhere, open in the same browser, must neither read nor change anything here.
        if urlsplit(f"//{request.host}").hostname not in ("127.0.0.1", "localhost", "::1"):
            abort(403, "this page is served to 127.0.0.1 only")
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and origin != request.host_url.rstrip("/"):
            abort(403, "this form was sent by another site")

    @app.after_request
    def say_what_is_allowed(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    @app.get("/")
    def page() -> str:
        text = request.args.get("q", "").strip()[:LONGEST]
        started = time.perf_counter()
        hits = collection.search(text, RESULTS) if text else []
        took = (time.perf_counter() - started) * 1e3
        return render_template(
            "page.html", q=text, hits=hits, took=took, count=len(collection), ideas=IDEAS, longest=LONGEST
        )

    @app.post("/add")
    def add() -> AnyResponse:
        text = request.form.get("text", "")[:LONGEST]
        new = collection.add([text])
        if not text.strip():
            flash("There was nothing to add.", "note")
        else:
            flash(text if new else "That sentence is there already.", "added" if new else "note")
        return redirect(url_for("page", q=request.form.get("q") or text.strip() or None), 303)

    @app.post("/remove")
    def remove() -> AnyResponse:
        gone = collection.remove([request.form.get("id", "")])
        flash(gone[0] if gone else "That sentence was gone already.", "removed" if gone else "note")
        return redirect(url_for("page", q=request.form.get("q") or None), 303)

    return app


def serve(collection: Collection, port: int) -> None:
    """Serve to this machine until interrupted."""
    make_app(collection).run(host="127.0.0.1", port=port, threaded=True)
