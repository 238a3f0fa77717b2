#include "textflag.h"

#define SIGSTKFLT	16

// The kernel calls it with the signal in A0, the siginfo_t in A1 and the ucontext_t in A2, and
// si_code is at offset 8. T0 and T1 are free, all other registers stay as they are for the runtime's
// handler.
TEXT handleFault<>(SB), NOSPLIT|NOFRAME, $0
	MOV	$SIGSTKFLT, T0
	BEQ	A0, T0, sent
	MOVW	8(A1), T1
	BLT	ZERO, T1, fault
sent:
	MOVW	ZERO, 8(A1)	// SI_USER
fault:
	MOV	·runtimeHandler(SB), T0
	JMP	(T0)

DATA ·faultHandler(SB)/8, $handleFault<>(SB)
GLOBL ·faultHandler(SB), NOPTR|RODATA, $8
