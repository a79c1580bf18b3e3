"""The Windows registry, a real one or made up; reading alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


class Registry:
    """The Windows registry below HKEY_LOCAL_MACHINE; elsewhere, and in tests, a map of keys to their values.

    Args:
        keys: path of each key, with backslashes, and its values by name.
    """

    def __init__(self, keys: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._keys = dict(keys or {})

    def below(self, path: str) -> list[str]:
        """Names of the keys in a key; none if it is not there."""
        inside = [key[len(path) + 1 :] for key in self._keys if key.startswith(path + "\\")]
        return list(dict.fromkeys(name.partition("\\")[0] for name in inside))

    def values(self, path: str) -> Mapping[str, Any]:
        """The values of a key; none if it is not there."""
        return self._keys.get(path, {})


if sys.platform == "win32":
    import winreg

    class LocalMachine(Registry):
        """HKEY_LOCAL_MACHINE as it is now."""

        def below(self, path: str) -> list[str]:
            """Names of the keys in a key; none if it is not there or may not be read."""
            try:
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                    return [winreg.EnumKey(key, index) for index in range(winreg.QueryInfoKey(key)[0])]
            except OSError:
                return []

        def values(self, path: str) -> Mapping[str, Any]:
            """The values of a key; none if it is not there or may not be read."""
            try:
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                    found = [winreg.EnumValue(key, index) for index in range(winreg.QueryInfoKey(key)[1])]
            except OSError:
                return {}
            return {name: value for name, value, _ in found}

else:
    LocalMachine = Registry
