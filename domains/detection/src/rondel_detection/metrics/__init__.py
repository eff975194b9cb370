"""How detections are measured: exactly as COCO does, on arrays.

`coco.evaluate` is the evaluator and needs nothing but numpy; `metric.DetectionMetric` is what a run
measures with. A `coco.Evaluation` is where the analyses start: `outcome.outcome_of`,
`confusion.confusion_of`, `error_types.errors_of`, `bootstrap.bootstrap`, `calibration.calibration_of`,
`image_hits.image_hits_of`. What they look like is in `pictures` and `picture_grid`.
"""
