"""What to do about a failure, in a sentence."""

from __future__ import annotations

_BY_NAME = {
    "InvalidCheck": "mend the caller: the message says which argument is wrong",
    "StaleCheck": "add workers, and check again when the user is back",
    "CheckRefused": "look the errcode up in WeChat's documentation; the same call would give the same answer",
    "PlatformUnavailable": "WeChat gave no usable answer; run it again when it does",
    "MediaUnavailable": "is the URL public, the file at most 10 MB, its format one that WeChat reads?",
    "PushTimeout": "does the push URL reach the endpoint, and does a worker consume wxcheck.push? wxcheck doctor looks",
    "CheckCancelled": "nothing: somebody cancelled it",
}
_BY_ERRCODE = {
    40164: "put this machine's IP, named in the message, on the appId's IP list",
    40125: "set WXCHECK_SECRET to the appId's AppSecret",
    40013: "set WXCHECK_APPID to the Mini Program's appId",
    40001: "set WXCHECK_SECRET to the appId's AppSecret",
    48001: "the appId may not call this API: see its permissions on mp.weixin.qq.com",
    61010: "the user was not active within the last 2 hours: check again when the user is back",
    87020: "the same file was submitted too often: do not submit it again soon",
    40003: "the openid is wrong, or of another appId",
    43104: "the openid is of another appId",
}


def remedy(failure: str, errcode: int | None) -> str | None:
    """What to do about a failure by its class and errcode; None of one that is not wxcheck's."""
    found = _BY_ERRCODE.get(errcode or 0) if failure in ("CheckRefused", "PlatformUnavailable") else None
    return found or _BY_NAME.get(failure)
