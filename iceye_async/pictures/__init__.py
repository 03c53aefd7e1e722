"""The pictures that `iceye_async.notebook` gives: a product with its quicklook, and detections on the ground."""
