"""What is played under the roles of a deployment or of a person, mode by mode; `recorder` records it."""
