using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests;

public class ArchitectureTests
{
    [Fact]
    public void Core_references_only_system_assemblies()
    {
        var references = typeof(LstmForecasterShape).Assembly.GetReferencedAssemblies();

        Assert.NotEmpty(references);
        Assert.All(references, reference => Assert.StartsWith("System.", reference.Name));
    }
}
