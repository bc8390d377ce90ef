"""Values of the type that a test expects: anything else fails it."""


def of_type[T](kind: type[T], value: object) -> T:
    """*value*, which is a *kind*."""
    assert isinstance(value, kind)
    return value


def not_none[T](value: T | None) -> T:
    """*value*, which is there."""
    assert value is not None
    return value
