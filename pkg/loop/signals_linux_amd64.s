#include "textflag.h"

#define SYS_write	1
#define FAULTS		0x400004D8	// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS

// The kernel calls it with the signal in DI, the siginfo_t in SI and the ucontext_t in DX, and
// restores all registers when it returns. At offset 8 of a siginfo_t is si_code.
TEXT handleSignal<>(SB), NOSPLIT|NOFRAME, $0
	LEAL	-1(DI), CX
	MOVL	$FAULTS, AX
	BTQ	CX, AX
	JCC	sent
	CMPL	8(SI), $0
	JGT	fault
sent:
	LOCK
	BTSQ	CX, ·waiting(SB)
	JCS	done			// it waits already
	MOVL	$SYS_write, AX
	MOVL	·wake(SB), DI
	LEAQ	one<>(SB), SI
	MOVL	$8, DX
	SYSCALL
done:
	RET
fault:
	JMP	runtime·sigtramp(SB)

DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), NOPTR|RODATA, $8

DATA ·handler(SB)/8, $handleSignal<>(SB)
GLOBL ·handler(SB), NOPTR|RODATA, $8
