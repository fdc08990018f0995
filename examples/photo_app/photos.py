"""Photos: checked with the client, ``pip install wxcheck-client``."""

from __future__ import annotations

from celery import chain
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from examples.photo_app import posts
from examples.photo_app.tasks import AWAY, QUEUE, hide_photo, publish_photo
from wxcheck import check_media

router = APIRouter(prefix="/photos")


class NewPhoto(BaseModel):
    #: WeChat downloads it: it must be open to the public over http(s), where your application uploaded it to
    url: str


@router.post("", status_code=202)
def post_photo(photo: NewPhoto) -> dict[str, str]:
    """Takes a photo in; it is shown once its check has passed."""
    photo_id = posts.add(photo.url)
    publish = publish_photo.s(photo_id).set(queue=QUEUE)
    hide = hide_photo.s(photo_id).set(queue=QUEUE)
    try:
        chain(check_media(photo.url, "image"), publish).apply_async(link_error=hide)
    except AWAY:
        posts.decide(photo_id, "hidden", "not enqueued")
        raise HTTPException(503, "the photo cannot be checked now, try again later") from None
    return {"id": photo_id}


@router.get("/{photo_id}")
def get_photo(photo_id: str) -> posts.Post:
    """What became of a photo."""
    photo = posts.find(photo_id)
    if photo is None:
        raise HTTPException(404, "there is no such photo")
    return photo
