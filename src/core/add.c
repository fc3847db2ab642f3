#include "core/add.h"

#include "tile/rows.h"

void add_launch(const Device *device, DType type, const AddArguments *arguments) {
    AddArguments shared_out = *arguments;
    shared_out.rows_per_program = rows_per_program(arguments->cols);
    const Grid grid = {blocks_of(arguments->rows, shared_out.rows_per_program), 1, 1};
    device->launch(KERNEL_add, type, grid, &shared_out);
}
