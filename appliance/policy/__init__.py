"""Pure decisions: where mail goes, who may send what, when to try again."""
