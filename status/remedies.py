"""Remedies for failures, by class and errcode, in English and Chinese. Pure."""

from __future__ import annotations

from wechat.errcodes import Meaning, meaning

#: a sentence in each language
Said = dict[str, str]

_IP: Said = {
    "en": "Put this machine's public IP, which WeChat names in the error, on the appId's IP list at mp.weixin.qq.com.",
    "zh": "请在 mp.weixin.qq.com 把本机公网 IP（微信在错误信息里给出）加入该 appId 的 IP 白名单。",
}
_SECRET: Said = {
    "en": "Compare WXCHECK_APPID and WXCHECK_SECRET with those at mp.weixin.qq.com, and start the workers again.",
    "zh": "请核对 WXCHECK_APPID 与 WXCHECK_SECRET 是否与 mp.weixin.qq.com 上的一致，然后重启 worker。",
}
_NOT_AUTHORISED: Said = {
    "en": "The appId may not call this API: see its permissions at mp.weixin.qq.com.",
    "zh": "该 appId 无权调用此接口：请在 mp.weixin.qq.com 查看接口权限。",
}
_API_SECURITY: Said = {
    "en": "The appId wants its calls signed and encrypted, which wxcheck does not do: turn API security off for it in "
    "the development settings at mp.weixin.qq.com.",
    "zh": "该 appId 要求调用签名并加密，wxcheck 不支持：请在 mp.weixin.qq.com 的开发设置中为它关闭“API 安全”。",
}
_FROZEN: Said = {
    "en": "WeChat has frozen or limited this account: log in at mp.weixin.qq.com, where it says why.",
    "zh": "微信已冻结或限制该账号：请登录 mp.weixin.qq.com 查看原因。",
}
_IP_REFUSED: Said = {
    "en": "An administrator of the Mini Program has refused this machine's IP: ask them; it lasts an hour or a day.",
    "zh": "小程序管理员拒绝了本机 IP：请与管理员确认，并等待一小时或一天。",
}
_BY_ERRCODE: dict[int, Said] = {
    -1: {"en": "WeChat is busy: it is tried again.", "zh": "微信系统繁忙：会自动重试。"},
    40164: _IP,
    89503: {
        "en": "An administrator of the Mini Program must confirm this machine's IP: WeChat has sent a message for it.",
        "zh": "需要小程序管理员确认本机 IP：微信已向管理员发送确认消息。",
    },
    **dict.fromkeys((89506, 89507), _IP_REFUSED),
    40243: {
        "en": "The AppSecret is frozen: release it, or make a new one, at mp.weixin.qq.com, and set WXCHECK_SECRET.",
        "zh": "AppSecret 已被冻结：请在 mp.weixin.qq.com 解冻或重置，并设置 WXCHECK_SECRET。",
    },
    **dict.fromkeys((50002, 50004, 50007), _FROZEN),
    48001: _NOT_AUTHORISED,
    61007: _NOT_AUTHORISED,
    40234: _API_SECURITY,
    40235: _API_SECURITY,
    61010: {
        "en": "The user was not active within the last 2 hours: check again when the user is back.",
        "zh": "用户近两小时内未访问小程序：待用户回来后再检测。",
    },
    40003: {"en": "The openid is not one of this appId's users.", "zh": "openid 不属于该 appId 的用户。"},
    43104: {"en": "The openid is not one of this appId's users.", "zh": "openid 与该 appId 不匹配。"},
    87020: {
        "en": "The same file was submitted too often: keep its verdict.",
        "zh": "同一文件提交过于频繁：请保存已有的结果。",
    },
}
#: in a push, after a call that the platform took
_PUSHED_43104: Said = {
    "en": "The appId has no permission for this API (see its permissions at mp.weixin.qq.com), or the openid is not "
    "one of its users.",
    "zh": "该 appId 没有此接口的权限（请在 mp.weixin.qq.com 查看接口权限），或 openid 与该 appId 不匹配。",
}
_BY_CLASS: dict[str, Said] = {
    "InvalidCheck": {
        "en": "The caller passed a wrong argument: AsyncResult(task_id).result says which.",
        "zh": "调用方的参数有误：AsyncResult(task_id).result 会说明是哪一个。",
    },
    "StaleCheck": {
        "en": "It waited longer than MAX_AGE: start more workers.",
        "zh": "等待超过 MAX_AGE：请增加 worker。",
    },
    "PlatformUnavailable": {
        "en": "WeChat gave no usable answer: wxcheck doctor says which step fails; then wxcheck replay.",
        "zh": "微信没有给出可用的应答：wxcheck doctor 会指出哪一步失败；之后执行 wxcheck replay。",
    },
    "MediaUnavailable": {
        "en": "Is the URL public, the file at most 10 MB and of a format that WeChat reads?",
        "zh": "URL 是否公网可访问？文件是否不超过 10 MB 且格式受支持？",
    },
    "PushTimeout": {
        "en": "No push came: does the push URL reach the endpoint, and a worker consume wxcheck.push?",
        "zh": "没有收到推送：推送 URL 能否到达端点？是否有 worker 消费 wxcheck.push？",
    },
    "CheckCancelled": {"en": "It was cancelled by a person or by revoke().", "zh": "由人工或 revoke() 取消。"},
    "CheckRefused": {
        "en": "Look the errcode up in WeChat's documentation; sending it again gives the same answer.",
        "zh": "请在微信文档中查询该 errcode；重发会得到相同结果。",
    },
}
_OTHER: Said = {
    "en": "An error of the program: the worker's log has it, with the task id.",
    "zh": "程序错误：请按 task id 查看 worker 的日志。",
}


def remedy(name: str, errcode: int | None) -> Said:
    """Return the remedy for checks that failed with the class ``name``."""
    if errcode is not None and name == "CheckRefused":
        if errcode in _BY_ERRCODE:
            return _BY_ERRCODE[errcode]
        if stops(errcode):
            return _SECRET
    if errcode == 43104:
        return _PUSHED_43104
    return _BY_CLASS.get(name, _OTHER)


def stops(errcode: int) -> bool:
    """True if the errcode refuses the whole appId. A refusal of a new access token does so too."""
    return meaning(errcode) in (Meaning.STOP, Meaning.RENEW)


def refusal(errcode: int, errmsg: str) -> Said:
    """Tell in both languages how WeChat refused an appId."""
    words = errmsg.split(" rid:")[0].strip()[:120]
    return {"en": f"WeChat refuses the appId: {errcode} {words}", "zh": f"微信拒绝该 appId：{errcode} {words}"}
