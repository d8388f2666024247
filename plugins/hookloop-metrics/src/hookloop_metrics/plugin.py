"""The plugin ``metrics``: offers the classes of torchmetrics by name."""

from __future__ import annotations

from collections.abc import Mapping

from hookloop import Run, hookimpl
from hookloop_metrics.factory import MetricFactory
from hookloop_metrics.names import offered_names


class Metrics:
    """Offers metrics by name, for ``[metrics.NAME]``."""

    role = "provider"

    @hookimpl
    def provide_metrics(self, run: Run) -> Mapping[str, MetricFactory]:
        """Return name → factory; torchmetrics is imported when the first of them is used."""
        criterion = getattr(getattr(run, "task", None), "criterion", None)  # a check has no task
        return {
            name: MetricFactory(name, class_name, preset, criterion)
            for name, (class_name, preset) in offered_names().items()
        }
