// Package bbmain is where the commands of the binary, rewritten by makebb, register themselves. It stands in for the
// package of that name that makebb writes, which knows more than we need and costs every boot.
package bbmain

type command struct {
	name       string
	init, main func()
}

var commands []command

// Register adds a command. The generated packages call it in their init function. init initialises the command's package
// variables and main is its main function.
func Register(name string, init, main func()) {
	commands = append(commands, command{name, init, main})
}

// Registered tells whether there is a command called name.
func Registered(name string) bool {
	return find(name) != nil
}

// Run runs the registered command called name. It returns when the command's main does.
func Run(name string) {
	c := find(name)
	c.init()
	c.main()
}

func find(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}
