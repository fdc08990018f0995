"""Pushes that the endpoints refuse, and pushes that do not come, as troubles. Pure.

A check of the push URL is no push: it ends neither trouble, since ``wxcheck doctor`` asks for one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from status.spans import span
from wechat.push.outcomes import Outcome, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: seconds for which a refusal is shown
RECENT = 600
#: seconds that pushes may be silent while checks wait for their push: a doubt, and a fault
SILENT_DOUBT, SILENT_FAULT = 60, 300

#: fields of :mod:`store.watch.statistics` with the pushes, be they refused or taken
_PUSHES = tuple(f"request|{outcome}" for outcome in Outcome if outcome is not Outcome.URL_CHECK)

#: refusal -> its name, and the remedy of :mod:`wechat.push.outcomes`, in Chinese
_CHINESE: dict[Outcome, tuple[str, str]] = {
    Outcome.BAD_SIGNATURE: (
        "签名错误",
        "请核对 PUSH_TOKEN 是否与消息推送配置中的 Token 一致；陌生人的请求也会出现在这里",
    ),
    Outcome.STALE_TIMESTAMP: ("时间戳不符", "请校正端点所在机器的时钟；如果时钟正确，则有人在重放旧推送"),
    Outcome.WRONG_APPID: (
        "appId 不符",
        "请为每个小程序使用各自的推送 URL /wechat/push/{appid}；第三方平台请设置 COMPONENT_APPID",
    ),
    Outcome.PLAIN_REFUSED: (
        "明文推送被拒绝",
        "请把消息推送改为安全模式，或设置 PUSH_PLAIN_ALLOWED=true（其签名不覆盖正文）",
    ),
    Outcome.MALFORMED: ("不是 JSON 或 XML", "请检查途中的代理是否改动了正文"),
    Outcome.UNDECRYPTABLE: (
        "无法解密",
        "请把 PUSH_AES_KEY 设为消息推送配置中的 EncodingAESKey，更换期间把旧的填入 PUSH_AES_KEY_PREVIOUS",
    ),
    Outcome.NO_TRACE_ID: ("没有 trace_id", "没有 trace_id 的结果无法对应到检测；请向微信反馈"),
    Outcome.INCOMPLETE: ("正文不完整", "请检查网络或途中的代理是否过慢"),
    Outcome.UNKNOWN_APPID: ("未知的 appId", "推送 URL 末尾必须是 APPID 或 APPS 中的某个 appId"),
    Outcome.TOO_LARGE: ("正文过大", "微信的推送只有几 KB；这来自陌生人"),
    Outcome.BROKER_UNAVAILABLE: (
        "broker 不可用",
        "请检查 BROKER_URL（或 REDIS_URL）的代理是否运行、内存是否充足、是否可写",
    ),
}


def refused_pushes(numbers: dict[str, Any], latest: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Yield the refusals since the last push that was taken.

    A refusal is bad if checks wait for a push; else it may be a stranger's doing.
    """
    taken = latest.get(f"request|{Outcome.QUEUED}", 0.0)
    waiting = numbers["waiting"]["count"]
    for refusal in Refusal.__subclasses__():
        at = latest.get(f"request|{refusal.outcome}", 0.0)
        if at <= taken or numbers["at"] - at > RECENT:
            continue
        name, chinese = _CHINESE[refusal.outcome]
        english = refusal.remedy
        yield {
            "key": f"push_{refusal.outcome}",
            "level": "bad" if waiting else "warn",
            "said": {
                "en": f"Pushes are refused with {refusal.status} {refusal.outcome}; {waiting} checks wait for one.",
                "zh": f"推送被拒绝：{refusal.status} {refusal.outcome}（{name}），而有 {waiting} 个检测在等待。",
            },
            "remedy": {"en": f"{english[:1].upper()}{english[1:]}.", "zh": f"{chinese}。"},
        }


def silent_pushes(numbers: dict[str, Any], latest: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Yield the silence of the push URL, if the oldest check has waited for so long that a push should have come."""
    oldest = numbers["waiting"]["oldest_seconds"]
    if oldest is None or oldest < SILENT_DOUBT:
        return
    pushed = max(latest.get(push, 0.0) for push in _PUSHES)
    if pushed > numbers["at"] - oldest:
        return
    count, waited = numbers["waiting"]["count"], span(oldest)
    yield {
        "key": "pushes_silent",
        "level": "bad" if oldest >= SILENT_FAULT else "warn",
        "said": {
            "en": f"No push has come for {waited['en']}, though {count} checks wait for one.",
            "zh": f"已有 {waited['zh']} 没有收到推送，而有 {count} 个检测在等待。",
        },
        "remedy": {
            "en": "Does the push URL at mp.weixin.qq.com lead to the endpoint? DNS, proxy, firewall, certificate: "
            "wxcheck doctor asks it.",
            "zh": "mp.weixin.qq.com 上的推送 URL 是否指向端点？请检查 DNS、代理、防火墙和证书："
            "wxcheck doctor 会去访问它。",
        },
    }
