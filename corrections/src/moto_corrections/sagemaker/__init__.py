"""SageMaker: the operations that moto lacks, and those of its own that keep too little."""
