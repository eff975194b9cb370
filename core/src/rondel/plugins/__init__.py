"""Plugins: what they may provide, and the host that finds, loads and calls them.

A plugin is a light module named in the entry-point group ``rondel``; its functions are marked
with `hookimpl`. One broken plugin never disturbs the others.
"""

from rondel.plugins.discovery import EntryPoint, entry_points
from rondel.plugins.host import PluginHost
from rondel.plugins.record import PluginRecord
from rondel.plugins.spec import hookimpl

__all__ = ["EntryPoint", "PluginHost", "PluginRecord", "entry_points", "hookimpl"]
