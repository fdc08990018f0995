// Every word of the page, in both languages.

const WORDS = {
  en: {
    skip: "Skip to the quotas",
    live: "live", connecting: "connecting", lost: "connection lost", stale: "old numbers",
    reading: "Reading the numbers…",
    all_well: "All is well.",
    all_well_more: "{processes} report, {sent} calls in the last hour.",
    lost_said: "The board itself does not answer: these numbers are old.",
    lost_remedy: "Is wxcheck board running, and is this machine's network up? The page tries again each second and recovers by itself.",
    login_said: "The board asks for its password again: these numbers are old.",
    login_remedy: "Reload the page and log in.",
    numbers_from: "The numbers are from {time}, {age} ago.",
    no_numbers: "There are no numbers yet.",
    further: "{n} more", bad: "wrong", warn: "watch",
    theme_auto: "Theme: auto", theme_light: "Theme: light", theme_dark: "Theme: dark",
    other_lang: "中文", other_lang_label: "此页面的中文版",
    tile_sent: "Sent this minute", tile_failed: "Failed, last hour", tile_dead: "Dead letters",
    tile_sent_hint: "calls, all appIds", tile_failed_hint: "checks", tile_dead_hint: "wxcheck dead",
    places: "Places", places_hint: "Each check is in one; wxcheck show TASK_ID says in which, and why",
    place_inbox: "Inbox", place_lanes: "Lanes", place_shelf: "Shelf", place_in_hand: "In hand", place_parked: "Parked",
    place_ready: "Ready", place_outbox: "Outbox",
    place_inbox_hint: "not read yet", place_lanes_hint: "wait for a permit", place_shelf_hint: "retries, countdowns",
    place_in_hand_hint: "run by a worker", place_parked_hint: "wait for their push", place_ready_hint: "their end is known",
    place_outbox_hint: "to be published",
    lanes: "Quotas", lanes_count: "{programs}, {lanes}", programs_one: "1 appId", programs_n: "{n} appIds",
    lanes_all_open: "all lanes open", lanes_not_open_one: "1 lane not open", lanes_not_open_n: "{n} lanes not open",
    filter: "Filter: appId or state", expand: "Open all", collapse: "Close all",
    no_lanes: "No Mini Program is set: WXCHECK_APPID, WXCHECK_APPS.", no_match: "No appId or state matches.",
    text: "Text", media: "Media", image: "Picture", audio: "Sound",
    open: "open", slowed: "slowed", closed: "closed", stopped: "stopped", paused: "paused", spent: "spent",
    opens_in: "opens in {time}", opens_now: "opens now",
    this_minute: "this minute", this_day: "today", meter: "{name}: {used} of {limit}",
    backlog: "to be sent", backlog_time: "takes about {time}", backlog_none: "nothing waits", backlog_unknown: "time unknown",
    hour_label: "{lane}, the last hour by minute: {sent} sent, {given_back} given back, {refused} refused. Arrow keys read a minute.",
    last_hour: "last hour", per_minute: "{n} a minute", ago: "{n} min ago", now: "now",
    sent: "sent", given_back: "given back", refused: "refused",
    pushes: "Pushes", pushes_hint: "WeChat's verdicts on pictures and sounds",
    waiting_now: "checks parked", oldest: "the oldest waits", nothing: "–",
    hour: "hour", day: "day",
    matched: "matched", matched_hint: "ended a waiting check",
    early: "early", early_hint: "came before the answer: normal",
    late: "late", late_hint: "after PUSH_TIMEOUT",
    repeated: "repeated", repeated_hint: "the same again",
    orphaned: "orphaned", orphaned_hint: "of no check known here",
    missing: "missing", missing_hint: "none came in time",
    forged: "forged", forged_hint: "refused for their signature",
    delay: "From the call to its push, last hour", delay_count: "{n} pushes", no_delay: "No push in the last hour.",
    delay_label: "Histogram of push delay. {buckets}. {marks}.", delay_bucket: "up to {bound}: {n}", delay_above: "above {bound}: {n}",
    verdicts: "Verdicts", verdict: "verdict", label: "label", kind: "kind",
    pass: "pass", review: "review", risky: "risky", no_verdicts: "No verdict in the last day.",
      failures: "Failures", failure: "failure", remedy: "remedy", newest: "The newest", no_failures: "No check failed in the last day.",
    task: "task", copy: "copy", copied: "copied", copy_label: "Copy {what}", not_copied: "press Ctrl-C",
    processes: "Processes", process: "name", queues: "queues", pool: "pool", heartbeat: "heartbeat", version: "version", clock: "clock",
    worker: "worker", endpoint: "endpoint", board: "board", flower: "Flower",
    no_processes: "No process reports.", age: "{time} ago", silent: "silent for {time}",
    messages: "messages", workers_none: "no worker", workers_one: "1 worker", workers_n: "{n} workers",
    processes_one: "1 process", processes_n: "{n} processes",
    other_version: "not {version}",
    foot: "wxcheck {version} · all times are of this device · the day of a quota begins at 00:00 in Shanghai",
    label_100: "normal", label_10001: "advertisement", label_20001: "politics", label_20002: "pornography", label_20003: "abuse",
    label_20006: "crime", label_20008: "fraud", label_20012: "vulgar", label_20013: "copyright", label_21000: "other",
    label_unknown: "unnamed",
    s: "{n} s", min: "{n} min", h: "{n} h", d: "{n} d",
  },
  zh: {
    skip: "跳到配额",
    live: "实时", connecting: "连接中", lost: "连接已断开", stale: "数据已旧",
    reading: "正在读取数据……",
    all_well: "一切正常。",
    all_well_more: "{processes}有心跳，最近一小时发出 {sent} 次调用。",
    lost_said: "看板本身没有应答：下面是旧数据。",
    lost_remedy: "wxcheck board 在运行吗？本机网络正常吗？页面每秒重试，会自动恢复。",
    login_said: "看板再次要求输入密码：下面是旧数据。",
    login_remedy: "请刷新页面并登录。",
    numbers_from: "数据截至 {time}，{age}前。",
    no_numbers: "还没有数据。",
    further: "还有 {n} 项", bad: "故障", warn: "注意",
    theme_auto: "主题：自动", theme_light: "主题：浅色", theme_dark: "主题：深色",
    other_lang: "English", other_lang_label: "This page in English",
    tile_sent: "本分钟已发出", tile_failed: "最近一小时失败", tile_dead: "死信",
    tile_sent_hint: "次调用，所有 appId", tile_failed_hint: "个检测", tile_dead_hint: "wxcheck dead",
    places: "检测所在", places_hint: "每个检测只在一处；wxcheck show TASK_ID 会说明在哪里、为什么",
    place_inbox: "收件箱", place_lanes: "通道", place_shelf: "搁置", place_in_hand: "处理中", place_parked: "等待推送",
    place_ready: "待完成", place_outbox: "发件箱",
    place_inbox_hint: "尚无 worker 读取", place_lanes_hint: "等待许可", place_shelf_hint: "重试与倒计时",
    place_in_hand_hint: "worker 正在运行", place_parked_hint: "已发给微信", place_ready_hint: "结局已知",
    place_outbox_hint: "后续待发出",
    lanes: "配额", lanes_count: "{programs}，{lanes}", programs_one: "1 个 appId", programs_n: "{n} 个 appId",
    lanes_all_open: "通道全部开放", lanes_not_open_one: "1 条通道未开放", lanes_not_open_n: "{n} 条通道未开放",
    filter: "筛选：appId 或状态", expand: "全部展开", collapse: "全部收起",
    no_lanes: "没有配置小程序：WXCHECK_APPID、WXCHECK_APPS。", no_match: "没有匹配的 appId 或状态。",
    text: "文本", media: "媒体", image: "图片", audio: "音频",
    open: "开放", slowed: "减速", closed: "关闭", stopped: "停用", paused: "暂停", spent: "用尽",
    opens_in: "{time}后开放", opens_now: "即将开放",
    this_minute: "本分钟", this_day: "今天", meter: "{name}：{used} / {limit}",
    backlog: "待发出", backlog_time: "约需 {time}", backlog_none: "没有积压", backlog_unknown: "时间未知",
    hour_label: "{lane}，最近一小时逐分钟：发出 {sent}，退回 {given_back}，被拒 {refused}。用方向键读取某一分钟。",
    last_hour: "最近一小时", per_minute: "每分钟 {n}", ago: "{n} 分钟前", now: "现在",
    sent: "发出", given_back: "退回", refused: "被拒",
    pushes: "推送", pushes_hint: "微信对图片和音频的结论",
    waiting_now: "个检测在等待", oldest: "最久已等待", nothing: "–",
    hour: "小时", day: "天",
    matched: "匹配", matched_hint: "结束了一个等待中的检测",
    early: "先到", early_hint: "先于应答到达：正常",
    late: "迟到", late_hint: "晚于 PUSH_TIMEOUT",
    repeated: "重复", repeated_hint: "同一推送再次到达",
    orphaned: "无主", orphaned_hint: "不属于这里的任何检测",
    missing: "未到", missing_hint: "没有按时到达",
    forged: "伪造", forged_hint: "因签名被拒",
    delay: "从调用到推送的时间，最近一小时", delay_count: "{n} 次推送", no_delay: "最近一小时没有推送。",
    delay_label: "推送延迟直方图。{buckets}。{marks}。", delay_bucket: "{bound} 以内：{n}", delay_above: "超过 {bound}：{n}",
    verdicts: "结论", verdict: "结论", label: "标签", kind: "类型",
    pass: "通过", review: "待审", risky: "违规", no_verdicts: "最近一天没有结论。",
    failures: "失败", failure: "失败", remedy: "处理办法", newest: "最新的失败", no_failures: "最近一天没有检测失败。",
    task: "任务", copy: "复制", copied: "已复制", copy_label: "复制 {what}", not_copied: "请按 Ctrl-C",
    processes: "进程", process: "名称", queues: "队列", pool: "执行池", heartbeat: "心跳", version: "版本", clock: "时钟",
    worker: "worker", endpoint: "端点", board: "看板", flower: "Flower",
    no_processes: "没有进程上报。", age: "{time}前", silent: "已 {time}无心跳",
    messages: "条消息", workers_none: "没有 worker", workers_one: "1 个 worker", workers_n: "{n} 个 worker",
    processes_one: "1 个进程", processes_n: "{n} 个进程",
    other_version: "不是 {version}",
    foot: "wxcheck {version} · 时间均为本设备时间 · 配额的一天从上海时间 00:00 开始",
    label_100: "正常", label_10001: "广告", label_20001: "时政", label_20002: "色情", label_20003: "辱骂",
    label_20006: "违法犯罪", label_20008: "欺诈", label_20012: "低俗", label_20013: "版权", label_21000: "其他",
    label_unknown: "未命名",
    s: "{n} 秒", min: "{n} 分钟", h: "{n} 小时", d: "{n} 天",
  },
};

/** The language of the page: "en" or "zh". */
export const lang = () => (document.documentElement.lang.startsWith("zh") ? "zh" : "en");

/** The words of `key`, with `{name}` replaced by `values.name`. */
export function word(key, values = {}) {
  const words = WORDS[lang()][key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** One of `key_one` and `key_n`. */
export const plural = (key, n, shown) => word(n === 1 ? `${key}_one` : `${key}_n`, { n: shown });

/** The server's own sentence, `{en, zh}`, in the language of the page. */
export const said = (sentence) => (sentence ? sentence[lang()] ?? sentence.en ?? "" : "");

/** A label's name; new ones that WeChat adds have none. */
export const labelName = (label) => WORDS[lang()][`label_${label}`] ?? word("label_unknown");

/** Fills what the page has from the start: texts, placeholders, names for screen readers. */
export function fillStaticWords() {
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = word(node.dataset.word);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = word(node.dataset.placeholder);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
}
