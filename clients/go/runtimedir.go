package warren

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

const systemDir = "/run/warren"

var (
	literal = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	unsafe  = regexp.MustCompile(`[^A-Za-z0-9_-]`)
)

// The runtime directory of a user for whom nothing names another; everybody may make it.
func fallbackDir() string { return fmt.Sprintf("/tmp/warren-%d", os.Getuid()) }

// RuntimeDir is the runtime directory of an agent that runs as this user, whether it runs or not.
func RuntimeDir() string {
	if named := os.Getenv("WARREN_RUNTIME_DIR"); named != "" {
		return named
	}
	if os.Getuid() == 0 {
		return systemDir
	}
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); xdg != "" {
		return filepath.Join(xdg, "warren")
	}
	return fallbackDir()
}

// AgentDir is the runtime directory of the agent to use: this user's, or the system's if only that one has an agent.
func AgentDir() (string, error) {
	own := RuntimeDir()
	if os.Getenv("WARREN_RUNTIME_DIR") != "" {
		return own, nil
	}
	if own == fallbackDir() {
		found, err := os.Lstat(own)
		if err != nil {
			return orSystem(own), nil
		}
		if stat, ok := found.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() || !found.IsDir() {
			return "", &Error{
				Code:   PermissionDenied,
				Reason: own + " was not made by this user",
				Hint:   "Set WARREN_RUNTIME_DIR to the runtime directory of the agent.",
			}
		}
	}
	if hasAgent(own) {
		return own, nil
	}
	return orSystem(own), nil
}

func orSystem(own string) string {
	if hasAgent(systemDir) {
		return systemDir
	}
	return own
}

func hasAgent(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "agent.sock"))
	return err == nil
}

// DefaultSource is the address as which this user connects by default:
// <scope of the destination>.user.<user name>.default.
func DefaultSource(destination string) (string, error) {
	scope, _, _ := strings.Cut(destination, ".")
	if !literal.MatchString(scope) {
		return "", &Error{
			Code:   InvalidArgument,
			Reason: fmt.Sprintf("the scope of %.80q is not one name", destination),
			Hint:   `Give the address to connect as, for example As: "dev.shop.cart.default".`,
		}
	}
	name := ""
	// The uid has no entry in the user database in many containers.
	if found, err := user.LookupId(fmt.Sprint(os.Getuid())); err == nil {
		name = strings.TrimLeft(unsafe.ReplaceAllString(found.Username, "-"), "_-")
	}
	if name == "" {
		name = fmt.Sprintf("uid-%d", os.Getuid())
	}
	if len(name) > 63 {
		name = name[:63]
	}
	return scope + ".user." + name + ".default", nil
}
