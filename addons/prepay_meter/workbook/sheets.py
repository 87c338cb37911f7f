"""Names of sheets and columns. Both languages are always understood, whatever the reader speaks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """``kind`` is a function of :mod:`values`; ``choices`` is model.field of a selection."""

    key: str
    en: str
    zh: str
    kind: str = "text"
    required: bool = False
    choices: str = ""
    help_en: str = ""
    help_zh: str = ""

    def label(self, zh: bool) -> str:
        return self.zh if zh else self.en

    def help(self, zh: bool) -> str:
        return self.help_zh if zh else self.help_en


@dataclass(frozen=True, slots=True)
class Sheet:
    key: str
    en: str
    zh: str
    columns: tuple[Column, ...]

    def label(self, zh: bool) -> str:
        return self.zh if zh else self.en

    def column(self, key: str) -> Column:
        return next(column for column in self.columns if column.key == key)


PLACES = Sheet(
    "places",
    "Places",
    "位置",
    (
        Column(
            "path",
            "Place",
            "位置",
            required=True,
            help_en="Full path from the project down, such as: Plant / Building A / Floor 1 / A-101",
            help_zh="从项目开始的完整路径，例如：园区 / A栋 / 1层 / A-101",
        ),
        Column(
            "kind",
            "Kind",
            "类型",
            "choice",
            choices="prepay.location.kind",
            help_en="Empty for a room",
            help_zh="房间可不填",
        ),
        Column(
            "code",
            "Code",
            "编号",
            "identifier",
            help_en="Short code, used once in the company",
            help_zh="简短编号，在本公司内不可重复",
        ),
        Column(
            "own_tz",
            "Time Zone",
            "时区",
            "zone",
            help_en="Such as Asia/Shanghai; empty: that of the place above",
            help_zh="例如 Asia/Shanghai；不填则与上级相同",
        ),
        Column("address", "Address", "地址"),
        Column("note", "Notes", "备注"),
    ),
)
GATEWAYS = Sheet(
    "gateways",
    "Gateways",
    "网关",
    (
        Column("name", "Name", "名称", required=True, help_en="Used once", help_zh="不可重复"),
        Column(
            "place",
            "Place",
            "位置",
            required=True,
            help_en="Path or code of a place",
            help_zh="位置的路径或编号",
        ),
        Column(
            "link",
            "Link",
            "连接方式",
            "choice",
            required=True,
            choices="prepay.gateway.link",
        ),
        Column(
            "host",
            "Address",
            "地址",
            "identifier",
            help_en="IP address or host name, when we dial",
            help_zh="由平台主动连接时的 IP 地址或主机名",
        ),
        Column("port", "Port", "端口", "whole"),
        Column(
            "dial_in_id",
            "Identity",
            "身份标识",
            "identifier",
            help_en="IMEI, serial number or registration text of a device that dials in or speaks MQTT",
            help_zh="主动上线或 MQTT 设备的 IMEI、序列号或注册包内容",
        ),
        Column(
            "registration",
            "Registration",
            "注册方式",
            "choice",
            choices="prepay.gateway.registration",
        ),
        Column("registration_hex", "Identity in Hex", "标识为十六进制", "yes_no"),
        Column("heartbeat", "Heartbeat", "心跳包"),
        Column("heartbeat_s", "Heartbeat Interval (s)", "心跳间隔（秒）", "whole"),
        Column(
            "mqtt_form", "Message Form", "报文格式", "choice", choices="prepay.gateway.mqtt_form"
        ),
        Column("product_key", "Product Key", "产品标识", "identifier"),
        Column("timeout_ms", "Time-out (ms)", "超时（毫秒）", "whole"),
        Column("inter_frame_ms", "Gap Between Frames (ms)", "帧间隔（毫秒）", "whole"),
    ),
)
METERS = Sheet(
    "meters",
    "Meters",
    "表计",
    (
        Column("number", "Meter Number", "表号", "identifier", required=True),
        Column(
            "place",
            "Place",
            "位置",
            required=True,
            help_en="Path or code of a place",
            help_zh="位置的路径或编号",
        ),
        Column(
            "profile",
            "Profile",
            "型号",
            "identifier",
            required=True,
            help_en="Code of a meter profile",
            help_zh="表计型号的编号",
        ),
        Column(
            "gateway",
            "Gateway",
            "网关",
            help_en="Name of a gateway; empty: read by hand",
            help_zh="网关名称；不填表示人工抄表",
        ),
        Column(
            "address",
            "Communication Address",
            "通信地址",
            "identifier",
            required=True,
            help_en="Modbus 1–247; DL/T 645 twelve digits; CJ/T 188 fourteen digits; MQTT serial number",
            help_zh="Modbus 为 1–247；DL/T 645 为 12 位数字；CJ/T 188 为 14 位数字；MQTT 为序列号",
        ),
        Column("poll_minutes", "Reading Interval (min)", "抄表间隔（分钟）", "decimal"),
        Column("overload_w", "Overload Limit (W)", "过载功率（W）", "whole"),
        Column("malicious_step_w", "Malicious Load Step (W)", "恶性负载功率（W）", "whole"),
        Column("is_protected", "Guaranteed Supply", "保电", "yes_no"),
        Column("protected_reason", "Reason of the Guarantee", "保电原因"),
    ),
)
READINGS = Sheet(
    "readings",
    "Opening Registers",
    "起始表底",
    (
        Column("meter", "Meter Number", "表号", "identifier", required=True),
        Column(
            "channel",
            "Channel",
            "数据项",
            "choice",
            choices="prepay.reading.channel",
            help_en="Empty: the total register",
            help_zh="不填表示总示数",
        ),
        Column(
            "read_at",
            "Read On",
            "抄表时间",
            "moment",
            required=True,
            help_en="Date and time at the place, such as 2026-03-01 08:00",
            help_zh="当地日期时间，例如 2026-03-01 08:00",
        ),
        Column(
            "value",
            "Register (kWh or m³)",
            "示数（度/吨）",
            "decimal",
            required=True,
            help_en="Up to three decimals",
            help_zh="最多三位小数",
        ),
    ),
)
SHEETS = (PLACES, GATEWAYS, METERS, READINGS)
BY_KEY = {sheet.key: sheet for sheet in SHEETS}
HELP = ("Help", "说明")
#: A column that reports of errors add; it is ignored when the file comes back.
PROBLEMS = ("Problems", "问题")
PROBLEM_SHEET = ("List of Problems", "问题清单")
