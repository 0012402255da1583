"""A package with a processor step of its own."""

from __future__ import annotations

from lerobot.processor import ObservationProcessorStep


class Step(ObservationProcessorStep):
    """Changes nothing."""

    def observation(self, observation):
        return observation

    def transform_features(self, features):
        return features
