"""The page of the simulator: a card per meter, kept up to date by a small script."""

import json
from html import escape
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.html")

LABELS = {
    "en": {
        "lang": "en",
        "title": "Simulated meters",
        "intro": "These meters answer on real protocols. The lamp shows the relay.",
        "on": "Power on",
        "off": "Power off",
        "offline": "Gateway offline",
        "register": "Register",
        "power": "Power",
        "command": "Last command",
        "none": "none yet",
        "polls": "Reads",
        "faults": "Faults",
        "lost": "The simulator does not answer.",
        "empty": "No meters are configured.",
        "of": "of {total} rooms supplied",
    },
    "zh": {
        "lang": "zh-CN",
        "title": "模拟电表",
        "intro": "这些电表使用真实协议应答，灯表示继电器状态。",
        "on": "供电",
        "off": "断电",
        "offline": "网关离线",
        "register": "示数",
        "power": "功率",
        "command": "最近命令",
        "none": "暂无",
        "polls": "读取次数",
        "faults": "故障",
        "lost": "模拟器无响应。",
        "empty": "尚未配置电表。",
        "of": "/ {total} 户供电中",
    },
}

ACTIONS_ZH = {
    "trip": "拉闸",
    "close": "合闸",
    "close allowed": "允许合闸",
    "alarm": "报警",
    "alarm off": "解除报警",
    "keep power": "保电",
    "keep power off": "解除保电",
    "end forced control": "解除强控",
}


def language(accept: str) -> str:
    """zh or en, whichever the header names first.

    >>> language("fr, zh-CN;q=0.8, en;q=0.5")
    'zh'
    """
    weighted = []
    for part in accept.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        if tag[:2].lower() in LABELS and weight > 0:
            weighted.append((-weight, len(weighted), tag[:2].lower()))
    return min(weighted)[2] if weighted else "en"


def render(meters: list[dict], offline: set[str], accept: str) -> str:
    """The page with its first values; the script asks for /meters from then on."""
    code = language(accept)
    labels = LABELS[code]
    start = {
        "meters": meters,
        "offline": sorted(offline),
        "labels": labels,
        "actions": ACTIONS_ZH if code == "zh" else {},
    }
    # "<" would let a name end the script element.
    data = json.dumps(start, ensure_ascii=False).replace("<", "\\u003c")
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in labels.items():
        text = text.replace(f"[[{name}]]", escape(value))
    return text.replace("[[data]]", data)
