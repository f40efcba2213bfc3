package warren

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	maxDialAttempts = 3
	fullPause       = 5 * time.Millisecond
)

var errForeign = errors.New("foreign directory")

var firstOwners = struct {
	sync.Mutex
	uids map[string]uint32
}{uids: map[string]uint32{}}

// dialAgent connects to path, a socket that the agent of runtimeDir made.
//
// It fails with PERMISSION_DENIED if another user may have made it: if its directory or the runtime directory can be
// written by others, or belongs neither to this user, nor to root, nor to the user who had it when this process first
// connected there. The files are compared before and after.
func dialAgent(ctx context.Context, path, runtimeDir string) (*net.UnixConn, error) {
	for attempts := 0; attempts < maxDialAttempts; attempts++ {
		before, err := inspect(path, runtimeDir)
		if err != nil {
			return nil, err
		}
		dialled, err := dialUnix(ctx, path)
		if err != nil {
			return nil, err
		}
		after, err := inspect(path, runtimeDir)
		if err == nil && after == before {
			return dialled, nil
		}
		dialled.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, foreign(path, "is replaced by another file again and again")
}

func dialUnix(ctx context.Context, path string) (*net.UnixConn, error) {
	for {
		var dialer net.Dialer
		dialled, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			return dialled.(*net.UnixConn), nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		// So many connect at once that the agent has yet to accept others.
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(fullPause):
		}
	}
}

// inspect identifies the files that lead to the socket.
func inspect(path, runtimeDir string) (string, error) {
	text, err := inspectDirectory(runtimeDir, runtimeDir)
	if err != nil {
		return "", err
	}
	if directory := filepath.Dir(path); directory != runtimeDir {
		more, err := inspectDirectory(directory, runtimeDir)
		if err != nil {
			return "", err
		}
		text += " " + more
	}
	found, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return text + " " + identityOf(found), nil
}

func inspectDirectory(directory, runtimeDir string) (string, error) {
	entry, err := os.Lstat(directory)
	if err != nil {
		return "", err
	}
	target := entry
	isFallback := runtimeDir == fallbackDir()
	if entry.Mode()&os.ModeSymlink != 0 {
		if isFallback {
			return "", foreign(directory, "is a link")
		}
		// A link to a directory, if an operator named it; both must be of the right user.
		if target, err = os.Stat(directory); err != nil {
			return "", err
		}
	}
	first := uint32(0)
	if !isFallback {
		first = firstOwner(runtimeDir, target)
	}
	for _, each := range []os.FileInfo{entry, target} {
		if uid := each.Sys().(*syscall.Stat_t).Uid; uid != 0 && int(uid) != os.Getuid() && uid != first {
			return "", foreign(directory, fmt.Sprintf("belongs to uid %d, who is not the user of the agent", uid))
		}
	}
	if target.Mode().Perm()&0o022 != 0 {
		return "", foreign(directory, "can be written by others")
	}
	return identityOf(entry) + " " + identityOf(target), nil
}

// firstOwner is the user who had the runtime directory when this process first connected there.
func firstOwner(runtimeDir string, target os.FileInfo) uint32 {
	firstOwners.Lock()
	defer firstOwners.Unlock()
	first, known := firstOwners.uids[runtimeDir]
	if !known {
		first = target.Sys().(*syscall.Stat_t).Uid
		firstOwners.uids[runtimeDir] = first
	}
	return first
}

func identityOf(info os.FileInfo) string {
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

func foreign(path, why string) *Error {
	return &Error{
		Code:   PermissionDenied,
		Reason: path + " " + why,
		Hint: "Another user may answer there in the name of the agent. Restart the agent; or set WARREN_RUNTIME_DIR to its " +
			"runtime directory and restart this program.",
		cause: errForeign,
	}
}
