"""Sinks: they read run folders from outside the engine, and send what they find to a tracker."""
