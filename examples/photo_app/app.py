"""The web server: ``uvicorn examples.photo_app.app:app``. Its views enqueue, and never wait for a verdict."""

from __future__ import annotations

from fastapi import FastAPI

from examples.photo_app import comments, photos

app = FastAPI(title="Photos")
app.include_router(photos.router)
app.include_router(comments.router)
