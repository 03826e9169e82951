"""The tables of the catcher's store.

``arrival`` has what is written, with the content, before a message's 250 goes out: a
table without indexes, so that few pages are flushed. A moment later that moves
to ``message``; the columns from ``message_id`` on are filled then. Contents, texts for
searching and conversations are tables of their own, so that a list touches none of them.
"""

__all__ = ["ADMIT", "ARRIVAL", "MESSAGE", "NEWEST", "SCHEMA", "VALUES", "VERSION"]

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS message(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, inbox TEXT NOT NULL, created_ms INTEGER NOT NULL,
  size INTEGER NOT NULL, read INTEGER NOT NULL DEFAULT 0, uid INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
  envelope TEXT NOT NULL, message_id TEXT, people TEXT, subject TEXT, snippet TEXT, attachments INTEGER, inlines INTEGER, date_s REAL);
CREATE INDEX IF NOT EXISTS message_read ON message(read);
CREATE INDEX IF NOT EXISTS message_inbox ON message(inbox, uid);
CREATE INDEX IF NOT EXISTS message_state ON message(state) WHERE state = 0;
CREATE INDEX IF NOT EXISTS message_undelivered ON message(uid) WHERE uid = 0;
CREATE TABLE IF NOT EXISTS arrival(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, inbox TEXT NOT NULL, created_ms INTEGER NOT NULL, size INTEGER NOT NULL,
  read INTEGER NOT NULL, uid INTEGER NOT NULL, envelope TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS content(number INTEGER PRIMARY KEY, data BLOB, path TEXT);
CREATE TABLE IF NOT EXISTS conversation(number INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS words(
  number INTEGER PRIMARY KEY, text TEXT, sender TEXT, recipient TEXT, cc TEXT, bcc TEXT, reply_to TEXT, subject TEXT, message_id TEXT,
  body TEXT);
CREATE TABLE IF NOT EXISTS tag(name TEXT NOT NULL COLLATE NOCASE, number INTEGER NOT NULL, PRIMARY KEY(name, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tag_number ON tag(number);
CREATE TABLE IF NOT EXISTS inbox(name TEXT PRIMARY KEY, settings TEXT NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "number, id, inbox, created_ms, size, read, uid, envelope"
ARRIVAL = f"arrival({_COLUMNS})"
MESSAGE = f"message({_COLUMNS})"
VALUES = "(?,?,?,?,?,?,?,?)"
ADMIT = f"INSERT INTO message({_COLUMNS}) SELECT {_COLUMNS} FROM arrival ORDER BY number"
NEWEST = "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name='message'), 0), coalesce((SELECT max(number) FROM arrival), 0))"
"""The largest number that a message ever had: none is given twice."""
