"""Comments: checked by name alone, for an application that does not install the client."""

from __future__ import annotations

import time

from celery import chain
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from examples.photo_app import posts
from examples.photo_app.tasks import AWAY, QUEUE, celery, hide_comment, publish_comment

router = APIRouter(prefix="/comments")


class NewComment(BaseModel):
    text: str
    #: of the user who writes; a real application takes it from the session, never from the request
    openid: str


@router.post("", status_code=202)
def post_comment(comment: NewComment) -> dict[str, str]:
    """Takes a comment in; it is shown once its check has passed."""
    comment_id = posts.add(comment.text)
    check = celery.signature(
        "wxcheck.check_text",
        kwargs={"content": comment.text, "openid": comment.openid, "scene": 2},
        queue="wxcheck.text",
        # two things that the client does by itself: the text stays out of events, logs and Flower ...
        kwargsrepr="{…}",
        # ... and a check that waits too long for a user who has left is not sent at all
        headers={"wxcheck_sent_at": time.time()},
    )
    publish = publish_comment.s(comment_id).set(queue=QUEUE)
    hide = hide_comment.s(comment_id).set(queue=QUEUE)
    try:
        chain(check, publish).apply_async(link_error=hide)
    except AWAY:
        posts.decide(comment_id, "hidden", "not enqueued")
        raise HTTPException(503, "the comment cannot be checked now, try again later") from None
    return {"id": comment_id}


@router.get("/{comment_id}")
def get_comment(comment_id: str) -> posts.Post:
    """What became of a comment."""
    comment = posts.find(comment_id)
    if comment is None:
        raise HTTPException(404, "there is no such comment")
    return comment
