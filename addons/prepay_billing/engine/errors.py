"""Errors of the engine: a machine code, a plain text and the values behind it."""


class EngineError(ValueError):
    """Input that the engine refuses.

    `code` is stable and meant for translation, `detail` is plain English for logs,
    `values` are the facts (as given) that a message can name.
    """

    def __init__(self, code: str, detail: str, **values: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.values = values


class RatingError(EngineError):
    """Usage or tariff that cannot be rated."""


class RoundingError(EngineError):
    """Amount or residue that cannot be settled exactly."""


class LedgerError(EngineError):
    """Wallet entry that breaks a rule of the ledger."""


class PolicyError(EngineError):
    """Supply policy that contradicts itself."""


class EvidenceError(EngineError):
    """Evidence that is not of the promised form (unknown values are fine: they are None)."""
