#!/usr/bin/perl
# A session with Mail::IMAPClient: mail_imapclient.pl PORT USER PASSWORD. Prints what it saw, a line each.
use strict;
use warnings;
use Mail::IMAPClient;

my ($port, $user, $password) = @ARGV;
my $imap = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $port, User => $user, Password => $password, Uid => 1, Peek => 1)
    or die "no session: $@";
my $say = sub { print join(' ', @_), "\n" };

$say->('folders', join ',', sort $imap->folders);
$imap->create('Work/Deep down') or die $imap->LastError;
my $text = "From: ana\@example.com\r\nSubject: from Perl\r\nX-Needle: here\r\n\r\nbody of Perl\r\n.dot\r\n";
my $uid = $imap->append_string('Work/Deep down', $text, '\\Flagged', '03-Mar-2026 10:00:00 +0000') or die $imap->LastError;
$imap->select('Work/Deep down') or die $imap->LastError;
$say->('count', $imap->message_count);
$say->('header', join ',', $imap->search('HEADER', 'X-Needle', $imap->Quote('here')));
$say->('uid', $uid);
$say->('identical', ($imap->message_string($uid) eq $text ? 'yes' : 'no'));
$say->('subject', $imap->subject($uid));
$say->('size', $imap->size($uid));
$say->('date', $imap->internaldate($uid));
$say->('flags', join ',', sort grep { $_ ne '\\Recent' } $imap->flags($uid));
$imap->set_flag('Seen', $uid) or die $imap->LastError;
$say->('unseen', scalar $imap->unseen_count);
my $copied = $imap->copy('INBOX', $uid) or die $imap->LastError;
my $envelope = $imap->get_envelope($uid) or die $imap->LastError;
$say->('from', $envelope->from_addresses);
my $structure = $imap->get_bodystructure($uid) or die $imap->LastError;
$say->('type', $structure->bodytype, $structure->bodysubtype);
$imap->delete_message($uid) or die $imap->LastError;
$imap->expunge or die $imap->LastError;
$say->('left', $imap->message_count);
$imap->close or die $imap->LastError;
$imap->delete('Work/Deep down') or die $imap->LastError;
$say->('inbox', $imap->message_count('INBOX'));
$imap->logout;
