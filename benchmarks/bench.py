"""Parameters of every benchmark: service, report, number of rounds and their length."""

from dataclasses import dataclass
from functools import cached_property

from benchmarks import opencv_alone
from benchmarks.figures import Report
from benchmarks.opencv_work import flags_for
from benchmarks.photos import Photo
from benchmarks.service import Service


@dataclass(frozen=True)
class Bench:
    """Run of the benchmarks: the service under test, the report, and how long to measure."""

    service: Service
    report: Report
    rounds: int
    seconds: float
    quick: bool

    @cached_property
    def how(self) -> dict[str, str]:
        """`processes` or `threads` by a photo's name: the faster one for OpenCV alone."""
        return {}

    def opencv_alone(self, photo: Photo) -> float:
        """Measure the images a second of OpenCV alone, on all cores."""
        if photo.name not in self.how:
            self.how[photo.name] = opencv_alone.fastest(photo.path, self.seconds / 2)
            self.report.note(f"opencv_alone_{photo.name}_uses", how=self.how[photo.name])
        return opencv_alone.images_per_second(photo.path, self.seconds, self.how[photo.name])

    @cached_property
    def _flags(self) -> dict[str, int]:
        return {}

    def flags(self, photo: Photo) -> int:
        """Decoding flags with which OpenCV does the same work as the pipeline."""
        if photo.name not in self._flags:
            self._flags[photo.name] = flags_for(photo.data)
        return self._flags[photo.name]
