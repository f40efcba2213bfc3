// Package warren connects processes of a warren mesh.
package warren

import (
	"errors"
	"syscall"
)

// Code is a stable code of a failure, as docs/errors.md lists them. The agent, the hello of a connection and this
// library use the same ones.
type Code string

// All codes.
const (
	Timeout                Code = "TIMEOUT"
	InvalidSource          Code = "INVALID_SOURCE"
	DestinationNotFound    Code = "DESTINATION_NOT_FOUND"
	DestinationUnreachable Code = "DESTINATION_UNREACHABLE"
	CannotConnect          Code = "CANNOT_CONNECT"
	Unauthorized           Code = "UNAUTHORIZED"
	InvalidArgument        Code = "INVALID_ARGUMENT"
	InvalidOption          Code = "INVALID_OPTION"
	InvalidConfig          Code = "INVALID_CONFIG"
	AgentNotRunning        Code = "AGENT_NOT_RUNNING"
	PermissionDenied       Code = "PERMISSION_DENIED"
	NotFound               Code = "NOT_FOUND"
	AlreadyExists          Code = "ALREADY_EXISTS"
	NotReady               Code = "NOT_READY"
	PortInUse              Code = "PORT_IN_USE"
	TokenRefused           Code = "TOKEN_REFUSED"
	JoinFailed             Code = "JOIN_FAILED"
	NotAuthority           Code = "NOT_AUTHORITY"
	NotAdmin               Code = "NOT_ADMIN"
	SignerNeeded           Code = "SIGNER_NEEDED"
	AlreadyInitialized     Code = "ALREADY_INITIALIZED"
	NotInitialized         Code = "NOT_INITIALIZED"
	CertificateRefused     Code = "CERTIFICATE_REFUSED"
	Revoked                Code = "REVOKED"
	RenewalRefused         Code = "RENEWAL_REFUSED"
	CertificateExpired     Code = "CERTIFICATE_EXPIRED"
	SignatureInvalid       Code = "SIGNATURE_INVALID"
	MessageTooLarge        Code = "MESSAGE_TOO_LARGE"
	MessageMalformed       Code = "MESSAGE_MALFORMED"
	InvariantBroken        Code = "INVARIANT_BROKEN"
	LimitExceeded          Code = "LIMIT_EXCEEDED"
	StreamTruncated        Code = "STREAM_TRUNCATED"
	FlowCut                Code = "FLOW_CUT"
	StateUnusable          Code = "STATE_UNUSABLE"
	PassphraseWrong        Code = "PASSPHRASE_WRONG"
	FileDamaged            Code = "FILE_DAMAGED"
	Unsupported            Code = "UNSUPPORTED"
	HookFailed             Code = "HOOK_FAILED"
	Internal               Code = "INTERNAL"
)

var codes = map[Code]bool{
	Timeout: true, InvalidSource: true, DestinationNotFound: true, DestinationUnreachable: true, CannotConnect: true,
	Unauthorized: true, InvalidArgument: true, InvalidOption: true, InvalidConfig: true, AgentNotRunning: true,
	PermissionDenied: true, NotFound: true, AlreadyExists: true, NotReady: true, PortInUse: true, TokenRefused: true,
	JoinFailed: true, NotAuthority: true, NotAdmin: true, SignerNeeded: true, AlreadyInitialized: true, NotInitialized: true,
	CertificateRefused: true, Revoked: true, RenewalRefused: true, CertificateExpired: true, SignatureInvalid: true,
	MessageTooLarge: true, MessageMalformed: true, InvariantBroken: true, LimitExceeded: true, StreamTruncated: true,
	FlowCut: true, StateUnusable: true, PassphraseWrong: true, FileDamaged: true, Unsupported: true, HookFailed: true, Internal: true,
}

// Error is every failure of this library. Code is stable, Reason is for people, Hint says what to do, where that is
// known.
type Error struct {
	Code   Code
	Reason string
	Hint   string
	cause  error
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Reason }

// Unwrap returns what lies behind it.
func (e *Error) Unwrap() error { return e.cause }

// Timeout makes it a net.Error.
func (e *Error) Timeout() bool { return e.Code == Timeout }

// Temporary makes it a net.Error.
func (e *Error) Temporary() bool { return e.Code == Timeout }

// CodeOf returns the code of err; empty if it is no failure of this library.
func CodeOf(err error) Code {
	var known *Error
	if errors.As(err, &known) {
		return known.Code
	}
	return ""
}

func newError(code Code, reason string, cause error) *Error {
	return &Error{Code: code, Reason: reason, cause: cause}
}

func truncated(reason string, cause error) *Error {
	text := "the connection was cut before its end"
	if reason != "" {
		text += ": " + reason
	}
	return newError(StreamTruncated, text, cause)
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
