"""
Random nights of a deployment, and an oracle that watches every single thing that is done in them.

The driver decides what is true, and the oracle knows it from the driver and from what the postman
carried; neither asks the program that is judged.
"""
