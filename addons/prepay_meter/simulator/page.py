"""The page of the simulator: a card per meter, kept up to date by a small script."""

import json
from html import escape
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.html")

LABELS = {
    "en": {
        "lang": "en",
        "title": "Simulated meters",
        "intro": "These meters answer on real protocols. The lamp shows the relay or the valve.",
        "on": "Power on",
        "off": "Power off",
        "open": "Valve open",
        "closed": "Valve closed",
        "opening": "Valve opens",
        "closing": "Valve closes",
        "fault": "Valve stuck",
        "dead": "No power in the building",
        "offline": "Gateway offline",
        "waiting": "not connected",
        "connected": "connected",
        "idle": "nobody connected",
        "switch_off": "Go offline",
        "switch_on": "Go online",
        "power_fails": "Power failure",
        "power_back": "Power back",
        "register": "Register",
        "power": "Power",
        "flow": "Flow",
        "balance": "Credit in the meter",
        "try": "Try faults",
        "heater": "Heater, 2 kW for 5 min",
        "leak": "Burst pipe, 600 L/h",
        "local": "Close by hand",
        "button": "Press the button",
        "find": "Find a meter",
        "refused": "Refused: {reason}",
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
        "title": "模拟电表与水表",
        "intro": "这些仪表使用真实协议应答，灯表示继电器或阀门状态。",
        "on": "供电",
        "off": "断电",
        "open": "阀门已开",
        "closed": "阀门已关",
        "opening": "正在开阀",
        "closing": "正在关阀",
        "fault": "阀门卡滞",
        "dead": "楼宇停电",
        "offline": "网关离线",
        "waiting": "未连接",
        "connected": "已连接",
        "idle": "无人连接",
        "switch_off": "下线",
        "switch_on": "上线",
        "power_fails": "楼宇停电",
        "power_back": "恢复供电",
        "register": "示数",
        "power": "功率",
        "flow": "流量",
        "balance": "表内余额",
        "try": "模拟故障",
        "heater": "接入 2 kW 电热器 5 分钟",
        "leak": "水管爆裂 600 L/h",
        "local": "手动合闸",
        "button": "按下表上按键",
        "find": "查找仪表",
        "refused": "被拒绝：{reason}",
        "command": "最近命令",
        "none": "暂无",
        "polls": "读取次数",
        "faults": "故障",
        "lost": "模拟器无响应。",
        "empty": "尚未配置仪表。",
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
    "open valve": "开阀",
    "close valve": "关阀",
}

KINDS = {
    # kind of gateway: (English, Chinese)
    "tcp_serial": ("Serial line over TCP", "TCP 透传串口"),
    "modbus_tcp": ("Modbus TCP", "Modbus TCP"),
    "dtu": ("4G DTU that dials in", "主动上线的 4G DTU"),
    "acrel_4g": ("4G meter that dials in", "主动上线的 4G 电表"),
    "mqtt": ("MQTT", "MQTT"),
}

FAULTS = {
    # name in `faults.Faults`: (English, Chinese); what the page offers to switch
    "silent": ("Silent", "不应答"),
    "bad_checksum": ("Wrong checksum", "校验错误"),
    "other_address": ("Answers as another meter", "应答地址错误"),
    "noise": ("Noise on the line", "线路噪声"),
    "welded": ("Relay or valve stuck", "继电器粘连／阀门卡滞"),
    "no_ack": ("Obeys without answer", "执行但不应答"),
    "bypass": ("Counts although cut", "断电仍计量"),
    "stuck": ("Register stands still", "示数不走"),
    "reset": ("Register from zero", "示数归零"),
    "low_battery": ("Battery low", "电池欠压"),
}
OTHER_FAULTS = {
    # the rest, to be shown when a script or a test switched them on
    "loss_permille": ("lost requests ‰", "丢包 ‰"),
    "late_ms": ("late by ms", "迟到 ms"),
    "slow_ms": ("slow by ms", "应答慢 ms"),
    "flip_permille": ("flipped bits ‰", "误码 ‰"),
    "bad_data_permille": ("wrong data ‰", "错误数据 ‰"),
    "clash": ("two devices answer", "地址冲突"),
    "exception": ("refuses with code", "拒绝代码"),
    "echo": ("echo", "回声"),
    "half_frame": ("half frames", "半帧"),
    "repeats": ("repeated answers", "重复应答"),
    "hold_reads_after_write": ("silent after a command", "命令后不应答"),
    "spike_wh": ("register off by", "示数偏差"),
    "wrap_wh": ("register wraps at", "示数翻转点"),
    "unit_factor": ("register times", "示数倍数"),
    "bounce_ms": ("relay falls back after ms", "继电器回跳 ms"),
    "lose_credit": ("credit command lost", "充值命令丢失"),
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


def render(meters: list[dict], gateways: list[dict], accept: str) -> str:
    """The page with its first values; the script asks for /meters and /gateways from then on."""
    code = language(accept)
    labels = LABELS[code]
    side = list(LABELS).index(code)
    start = {
        "meters": meters,
        "gateways": list(gateways),
        "labels": labels,
        "actions": ACTIONS_ZH if code == "zh" else {},
        "kinds": {name: texts[side] for name, texts in KINDS.items()},
        "faults": {name: texts[side] for name, texts in FAULTS.items()},
        "others": {name: texts[side] for name, texts in OTHER_FAULTS.items()},
    }
    # "<" would let a name end the script element.
    data = json.dumps(start, ensure_ascii=False).replace("<", "\\u003c")
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in labels.items():
        text = text.replace(f"[[{name}]]", escape(value))
    return text.replace("[[data]]", data)
