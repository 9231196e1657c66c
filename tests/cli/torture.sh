#!/bin/sh
# A sample of tools/torture, the same one every time; `make torture` tries all.
exec tools/torture --tap --set plain --sample 120
