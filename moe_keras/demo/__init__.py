"""The demo: a mixture against its dense twins on real digits, start to end."""

from moe_keras.demo.run import run_demo as run_demo
